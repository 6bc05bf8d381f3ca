"""The readers that are fed, each as its command uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metis_rise.benchmarks.base import Protocol
from metis_rise.benchmarks.data import load
from metis_rise.benchmarks.held import held
from metis_rise.benchmarks.predictions import read
from metis_rise.benchmarks.registry import find
from metis_rise.benchmarks.scoring import score
from metis_rise.journal import append_jsonl, read_jsonl
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import dump_problems, load_problems, read_problems
from metis_rise.recipe import load_recipe, resolved
from metis_rise.recipe.yaml_text import parse_yaml
from metis_rise.types import AnswerType, Problem, Trajectory
from metis_rise.verifier.gold import check_gold
from metis_rise.verifier.judge import judge


def picture(data: bytes, folder: Path) -> None:
    """Stored, and opened again."""
    store = ImageStore(folder / "images")
    key = store.put(data)
    assert store.open(key).size == store.size(key)
    store.path(key).unlink()


def problem_rows(rows: list[dict[str, Any]] | bytes, folder: Path) -> None:
    """Read as a run does: stored, written and read again."""
    file = _written(folder / "rows.jsonl", rows)
    problems = read_problems(file, ImageStore(folder / "images"), check_gold)
    dump_problems(problems, folder / "train.jsonl")
    assert load_problems(folder / "train.jsonl") == problems


def run_rows(row: dict[str, Any], folder: Path) -> None:
    """A row of a run's own files: a record, or one of the three errors that its readers tell of."""
    for kind in (Problem, Trajectory):
        try:
            kind.from_json(row)
        except (KeyError, TypeError, ValueError):
            continue


def recipe(text: str, folder: Path) -> None:
    """A recipe file."""
    (folder / "r.yaml").write_text(text, encoding="utf-8", errors="replace")
    resolved(load_recipe(str(folder / "r.yaml")))


def override(text: str, folder: Path) -> None:
    """KEY=VALUE on the tiny recipe."""
    resolved(load_recipe("tiny", [text]))


def yaml(text: str, folder: Path) -> None:
    """YAML of any kind."""
    parse_yaml(text, "w")


def table(given_table: tuple[str, list[list[str]]], folder: Path) -> None:
    """A benchmark's table, as data and as predictions that are scored."""
    name, cells = given_table
    benchmark = find(name)
    assert benchmark.known is not None
    names = list(dict.fromkeys(("index", *benchmark.known.columns, "image", "prediction", "extraction")))
    lines = ["\t".join(names)]
    for number, row in enumerate(cells):
        values = [*(str(number),), *row][: len(names)] + ["A"] * (len(names) - len(row) - 1)
        lines.append("\t".join('"' + value.replace('"', '""') + '"' for value in values))
    file = _written(folder / "t.tsv", "\n".join(lines).encode("utf-8", "replace"))
    predicted = read(file)
    found = held(benchmark, predicted)
    if found is not None:
        for protocol in (Protocol.RULE, Protocol.OFFICIAL):
            score(benchmark, found.items, predicted.predictions, protocol)
    load(benchmark, file, ImageStore(folder / "images") if len(cells) % 2 else None)


def predictions(given_file: tuple[str, bytes], folder: Path) -> None:
    """A file of predictions."""
    read(_written(folder / f"p{given_file[0]}", given_file[1]))


def own(given_file: tuple[str, dict[str, Any]], folder: Path) -> None:
    """A file as a benchmark's authors have it."""
    file = _written(folder / "own.json", json.dumps(given_file[1]).encode())
    load(find(given_file[0]), file, None)


def journal(data: bytes, folder: Path) -> None:
    """Read, appended to and read again."""
    file = _written(folder / "j.jsonl", data)
    read_jsonl(file)
    append_jsonl(file, [{"b": 2}])
    assert read_jsonl(file)[-1] == {"b": 2}


def judged(pair: tuple[str, str, AnswerType], folder: Path) -> None:
    """The verdict on an answer."""
    gold, answer, kind = pair
    judge(Problem("a", "How many?", gold, kind), f"<think>x</think><answer>{answer}</answer>")


def _written(file: Path, content: list[dict[str, Any]] | bytes) -> Path:
    lines = content if isinstance(content, bytes) else b"".join(json.dumps(row).encode() + b"\n" for row in content)
    file.write_bytes(lines)
    return file
