"""What `rise init` asks and writes."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import typer

from metis_rise.cluster.facts import find_facts
from metis_rise.cluster.parameters import count
from metis_rise.errors import InputError
from metis_rise.recipe import load_recipe
from metis_rise.starter.text import Wish, recipe_text

_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
_TINY = "tiny"
_SUFFIXES = (".yaml", ".yml")
# Between the sizes of the shipped recipes, 8 and 72 billion.
_LARGE = 20_000_000_000
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def init(file: Path, model: str | None, train: str | None, test: str | None, lora: bool) -> None:
    """Writes a recipe into the new `file`, and says what to do with it; what is None is asked for.

    Raises:
        InputError: the file is there or has another ending, or there is nobody to ask.
    """
    if file.suffix not in _SUFFIXES:
        raise InputError(f"{file}: a recipe's name ends in .yaml")
    if file.exists():
        raise InputError(f"{file}: exists, and is not overwritten; name another file, or delete it")
    wish = Wish(
        name=_UNSAFE.sub("_", file.stem).strip(".-") or "mine",
        model=_answer(model, "--model", f"Model (a folder, a hub id, or {_TINY} for a trial on a CPU)", _MODEL),
        train=_answer(train, "--train", "File of training problems", "train.jsonl"),
        test=_answer(test, "--test", "File of test problems", "test.jsonl"),
    )
    base = _base(wish.model, lora)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Never over what another process wrote since.
    with file.open("x", encoding="utf-8") as target:
        target.write(recipe_text(wish, base))
    _say(file, wish, base)


def _answer(given: str | None, flag: str, question: str, default: str) -> str:
    if given is None and not _at_terminal():
        raise InputError(f"give {flag}: there is no terminal to ask on ({question[:1].lower()}{question[1:]})")
    answer = str(typer.prompt(question, default=default) if given is None else given).strip()
    if not answer or not answer.isprintable():
        raise InputError(f"{flag} {answer!r}: must be a name of one line")
    return answer


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _base(model: str, lora: bool) -> str:
    """The shipped recipe that is made for models like this one."""
    if model == _TINY:
        if lora:
            raise InputError("--lora is for models that are too large to train as a whole; leave it out for tiny")
        return "user_jsonl"
    try:
        facts = find_facts(model)
    except InputError as error:
        if Path(model).is_dir():
            raise
        typer.echo(f"note: {error}; the recipe is that of a model of 7 billion parameters", err=True)
        base = "qwen2_5_vl_7b"
    else:
        older = "qwen2_5_vl_72b" if count(facts).total > _LARGE else "qwen2_5_vl_7b"
        base = older if facts.text.biased else "qwen3_vl_8b"
    return f"{base}_lora" if lora else base


def _say(file: Path, wish: Wish, base: str) -> None:
    typer.echo(f"{file}: a recipe like {base}")
    for path in (wish.train, wish.test):
        if not Path(path).exists() and not set(path) & set("*?["):
            typer.echo(f"note: {path} is not here; paths are looked for from where the run is started", err=True)
    typer.echo("next:")
    typer.echo(f"  rise data check {shlex.quote(wish.train)} --recipe {shlex.quote(str(file))}")
    typer.echo(f"  rise plan {shlex.quote(str(file))}")
    if load_recipe(str(file)).engine.urls == "auto":
        # Servers that only a launch file starts.
        typer.echo(f"  rise launch {shlex.quote(str(file))} > job.sh  # then: sbatch --time=24:00:00 job.sh")
    else:
        typer.echo(f"  rise run {shlex.quote(str(file))}")
