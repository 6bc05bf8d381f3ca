"""How a run begins: everything is checked before the run's folder appears, so bad input leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from metis_rise import __version__
from metis_rise.benchmarks.choice import chosen
from metis_rise.errors import InputError
from metis_rise.foreign.opening import open_rows
from metis_rise.fork import fork
from metis_rise.leftovers import remove_leftovers
from metis_rise.policy.loading import find_folder
from metis_rise.policy.processor import load_processor
from metis_rise.problems.dataset import SPLITS, ProblemSets, make_sets
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import RISE, load_system
from metis_rise.problems.reader import dump_problems, load_problems
from metis_rise.recipe import MAY_CHANGE, Recipe, resolved
from metis_rise.run import Run, read_jsonl, write_atomic
from metis_rise.stages import expert
from metis_rise.stages.curriculum import check_selections
from metis_rise.stages.experts.files import edited_files, keep_files
from metis_rise.stages.helpers import helpers_for
from metis_rise.stages.lengths import fit_max_tokens
from metis_rise.stages.model_judge import check_judge
from metis_rise.stages.prompts import AUTO
from metis_rise.stages.serving import check_servers
from metis_rise.stages.team.joining import cores
from metis_rise.stages.workshop import Workshop
from metis_rise.verifier.gold import check_gold
from metis_rise.verifier.user_reward import load_reward

SYSTEM_FILE = "system.txt"
PREPARING = ".preparing"


@dataclass(frozen=True, slots=True)
class _Made:
    """A prepared run: its folder, not in its place yet, and the longest completion."""

    folder: Path
    max_tokens: int


def open_workshop(recipe: Recipe, root: Path, name: str, fresh: bool = False, source: Path | None = None) -> Workshop:
    """The run's folder with its problems in it, created or taken up again; a new one may fork the run in `source`.

    Raises InputError for whatever is wrong with the recipe's model, prompt, problems, judge or experts, and for servers
    that are not there; a run that is there is then untouched, also with `fresh`, and no new one appears.
    """
    torch.set_num_threads(recipe.threads or cores())
    torch.manual_seed(recipe.seed)
    path = root / name
    check_judge(recipe)
    begun = not fresh and _begun(path)
    made: _Made | None = None
    if begun and source is not None:
        _check_source(path, source)
    if not begun:
        _check_model(recipe)
        _check_benchmarks(recipe)
        check_servers(recipe)
        if recipe.rl.user_reward is not None:
            load_reward(recipe.rl.user_reward)
        made = _prepare(recipe, root, name, source=source)
        _put_in_place(made.folder, recipe, path, fresh)
    run = Run.open(root, name, resolved(recipe), may_change=MAY_CHANGE)
    # A kill between putting the folder in its place and this leaves the empty one in which it was prepared.
    _leave(root / PREPARING)
    if left := remove_leftovers(path):
        run.log(f"{path}: {left} half-written files and folders of an attempt that was killed are removed")
    sets = _load_sets(path)
    run.log(
        f"{path}: " + ", ".join(f"{len(problems)} {split}" for split, problems in sets.named().items()) + " problems"
    )
    max_tokens = fit_max_tokens(recipe, sets.train) if made is None else made.max_tokens
    run.event("start", environment=_environment(), max_tokens=max_tokens)
    store, system = ImageStore(path / "images"), _system_setting(recipe, path)
    helpers, reason = helpers_for(recipe, sets.train, store, cores())
    run.log(f"pictures: {f'cut up ahead, helpers: {helpers}' if helpers else 'cut up when needed'} ({reason})")
    return Workshop(recipe, run, store, sets, max_tokens, system, helpers=helpers)


@contextlib.contextmanager
def look_at_workshop(recipe: Recipe, root: Path, name: str) -> Iterator[Workshop]:
    """The run's folder as it is, to look at and not to work in; where there is none, one that vanishes again.

    The recipe need not be the run's own.
    """
    with tempfile.TemporaryDirectory() as elsewhere:
        path = root / name if _begun(root / name) else _prepare(recipe, Path(elsewhere), name, ask=False).folder
        sets = _load_sets(path)
        max_tokens = fit_max_tokens(recipe, sets.train)
        store, system = ImageStore(path / "images"), _system_setting(recipe, path)
        yield Workshop(recipe, Run(path), store, sets, max_tokens, system)


def _put_in_place(made: Path, recipe: Recipe, path: Path, fresh: bool) -> None:
    """Renames a prepared run to `path`; what is there is checked first, and replaced only if it is ours to replace."""
    try:
        if path.exists():
            Run.open(path.parent, path.name, resolved(recipe), fresh=fresh)
            shutil.rmtree(path)
        made.rename(path)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        _leave(made.parent)


def _begun(path: Path) -> bool:
    """Whether the folder holds a run with its problems.

    A kill between deleting an old run and renaming the new one leaves a folder without either; one that lacks
    problems but has stages is somebody's damaged run, and is not ours to replace.
    """
    missing = [file for split in SPLITS if not (file := _file(path, split)).exists()]
    if missing and any(path.glob("[0-9]-*/*")):
        raise InputError(f"{missing[0]}: is missing from a run that has begun; restore it, or start anew with --fresh")
    return not missing


def _check_model(recipe: Recipe) -> None:
    load_processor(find_folder(recipe.model.path), recipe.model.min_pixels, recipe.model.max_pixels)


def _check_benchmarks(recipe: Recipe) -> None:
    """InputError for benchmarks that do not exist, or have no data file where the recipe says."""
    data = recipe.evaluate.data
    chosen(recipe.evaluate.benchmarks, None if data is None else Path(data).expanduser())


def _system_setting(recipe: Recipe, run: Path) -> str | None:
    """The recipe's prompt.system, a file replaced by the run's own copy of it."""
    setting = recipe.prompt.system
    return setting if setting in (None, AUTO, RISE) else str(run / SYSTEM_FILE)


def _check_lengths(recipe: Recipe, max_tokens: int) -> None:
    if recipe.rl.overlong_buffer > max_tokens:
        raise InputError(
            f"rl.overlong_buffer = {recipe.rl.overlong_buffer}: must not exceed sampling.max_tokens, "
            f"which auto fits to {max_tokens} tokens here; lower it, or give max_tokens a number"
        )
    for part, budget in (("rl", recipe.rl.micro_tokens), ("sft", recipe.sft.micro_tokens)):
        if budget <= max_tokens:
            raise InputError(
                f"{part}.micro_tokens = {budget}: must exceed sampling.max_tokens, which auto fits to {max_tokens} "
                "tokens here, with room for a prompt; raise it"
            )


def _check_source(path: Path, source: Path) -> None:
    events = read_jsonl(path / "manifest.jsonl")
    forked = [Path(event["source"]).resolve() for event in events if event["kind"] == "fork"]
    if source.resolve() not in forked:
        raise InputError(f"{path}: there already, and not from {source}; choose another --name, or add --fresh")


def _prepare(recipe: Recipe, root: Path, name: str, *, ask: bool = True, source: Path | None = None) -> _Made:
    """A complete run folder beside its final place; what a killed attempt left there is replaced.

    `ask` finds out whether the recipe's endpoints can do their work; `source` is a run to fork.
    """
    run = Run.open(root / PREPARING, name, resolved(recipe), fresh=True)
    folder = run.path
    try:
        sets = _make_sets(recipe, run) if source is None else _forked(recipe, run, source)
        max_tokens = fit_max_tokens(recipe, sets.train)
        _check_lengths(recipe, max_tokens)
        check_selections(recipe, sets.train)
        keep_files(recipe.expert, folder)
        if ask:
            expert.check(recipe, run, sets.train)
    except BaseException:
        shutil.rmtree(folder)
        _leave(folder.parent)
        raise
    return _Made(folder, max_tokens)


def _make_sets(recipe: Recipe, run: Run) -> ProblemSets:
    if _system_setting(recipe, run.path) != recipe.prompt.system:
        write_atomic(run.path / SYSTEM_FILE, load_system(recipe.prompt.system) or "")
    sets = make_sets(recipe.problems, recipe.seed, ImageStore(run.path / "images"), check_gold, open_rows)
    _say_dropped(run, sets)
    for split, problems in sets.named().items():
        dump_problems(problems, _file(run.path, split))
    return sets


def _forked(recipe: Recipe, run: Run, source: Path) -> ProblemSets:
    taken = fork(source, run, resolved(recipe), MAY_CHANGE, edited_files(recipe.expert, source))
    if (source / SYSTEM_FILE).exists():
        shutil.copyfile(source / SYSTEM_FILE, run.path / SYSTEM_FILE)
    run.log(f"{source}: taken over: {', '.join(taken)}")
    sets = _load_sets(run.path)
    _check_same_length(source, fit_max_tokens(recipe, sets.train))
    return sets


def _check_same_length(source: Path, max_tokens: int) -> None:
    """`sampling.max_tokens: auto` fits what the free experts write, so other experts may make it another number."""
    there = [event["max_tokens"] for event in read_jsonl(source / "manifest.jsonl") if event["kind"] == "start"]
    if there and there[-1] != max_tokens:
        raise InputError(
            f"{source}: there is nothing to take over, expert.experts changes what sampling.max_tokens = auto comes to "
            f"({there[-1]} there, {max_tokens} here)"
        )


def _load_sets(run_folder: Path) -> ProblemSets:
    train, dev, test = (load_problems(_file(run_folder, split)) for split in SPLITS)
    return ProblemSets(train, dev, test)


def _say_dropped(run: Run, sets: ProblemSets) -> None:
    """What problems.skip_bad left out: on the terminal, in the log, and in the manifest, where the report finds it."""
    for file, reasons in sets.dropped.items():
        run.event("skipped rows", file=file, reasons=dict(reasons))
        said = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        run.warn(f"{file}: {reasons.total()} rows left out (problems.skip_bad): {said}")


def _leave(folder: Path) -> None:
    """Removes the folder of runs being prepared, unless another process prepares one there."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _file(run_folder: Path, split: str) -> Path:
    return run_folder / "problems" / f"{split}.jsonl"


def _environment() -> dict[str, Any]:
    packages = {package: version(package) for package in ("torch", "transformers")}
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "packages": {"metis-rise": __version__} | packages,
    }
