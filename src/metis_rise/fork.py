"""A new run that takes up the finished stages of another one, with other settings for the stages after them.

What an ablation needs: RL and diagnosis are done once, and each arm trains on what they left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from metis_rise.disk import writing
from metis_rise.errors import InputError
from metis_rise.run import STAGES, Run, Stage, differences, may_differ, read_jsonl, round_name, write_jsonl
from metis_rise.run_format import read_format, write_format
from metis_rise.stages import model_judge
from metis_rise.stages.experts import answers, imported

# The first stage that reads a part of the recipe; the longest name that fits a key counts, and what none fits is read
# by the first stage of all. Diagnosis samples until distillation has enough to take.
READ_FROM = {
    "diagnose": 1,
    "judge": 1,
    "distill": 1,
    "distill.pick": 2,
    "distill.max_similarity": 2,
    "expert": 3,
    "sft": 4,
    "rounds": 5,
    "evaluate": 5,
}
# What the scores of the base and of the RL model depend on, of what is read after RL.
_SCORED_BY = ("evaluate", "judge")
_DISTILL, _EXPERT = "3-distill", "4-expert"
# Belongs to a run, not to what it does.
OWN = "name"


def fork(
    source: Path, made: Run, recipe: Mapping[str, Any], may_change: Collection[str], edited: Collection[str] = ()
) -> tuple[str, ...]:
    """Takes over what `recipe` and the run in `source` share: its problems and the stages that it has done.

    Replies that were paid for and trajectories that were imported come along as well. The source stays as it is.

    Args:
        source: folder of a run.
        made: the new run, whose folder holds nothing but its recipe.
        recipe: the new run's resolved recipe.
        may_change: dotted keys that do not change what a stage makes.
        edited: dotted keys that name a file whose content is not what the source had.

    Returns:
        The numbered names of the stages that are taken over, at least one; those of later rounds as "round-2/1-rl".

    Raises:
        InputError: no run there, or one that shares no finished stage.
    """
    if not (source / "recipe.json").is_file():
        raise InputError(f"{source}: no run folder (it holds no recipe.json); name one such as runs/tiny")
    number = read_format(source)
    changed = _changed(source, recipe, may_change)
    readers = _readers(recipe, (*changed, *edited))
    taken = _shared(source, recipe, readers)
    if not taken:
        why = "its first stage is not done"
        if 0 in readers.values():
            why = "the recipes differ in what RL needs: " + ", ".join(
                f"{key} ({old} there, {new} here)" for key, (old, new) in changed.items() if readers[key] == 0
            )
        raise InputError(f"{source}: there is nothing to take over, {why}")
    pictures = ("images",) if (source / "images").exists() else ()
    for name in ("problems", *pictures, *taken):
        with writing(made.path / name):
            _take_folder(source / name, made.path / name)
    for name in (model_judge.JOURNAL, imported.FILE):
        if (source / name).exists():
            _take(source / name, made.path / name)
    if _EXPERT not in taken:
        _take_answers(source, made)
    _take_metrics(source, made, taken)
    if not any(key.partition(".")[0] in _SCORED_BY for key in changed):
        _take_scores(source, made)
    # Journals are copied as they are, without checksums where the source has none.
    write_format(made.path, number)
    made.event("fork", source=str(source), stages=list(taken))
    return taken


def shared_stages(source: Path, recipe: Mapping[str, Any], may_change: Collection[str]) -> tuple[str, ...]:
    """What `fork` would take over from the run in `source`, whose files that the recipe names are as they were."""
    return _shared(source, recipe, _readers(recipe, _changed(source, recipe, may_change)))


def _changed(source: Path, recipe: Mapping[str, Any], may_change: Collection[str]) -> dict[str, tuple[str, str]]:
    """Dotted keys that differ and matter: (there, here)."""
    found = differences(source, recipe)
    return {key: pair for key, pair in found.items() if key != OWN and not may_differ(key, may_change)}


def _readers(recipe: Mapping[str, Any], keys: Collection[str]) -> dict[str, int]:
    """The place of the first stage that reads each of `keys`."""
    fixed = recipe["diagnose"]["samples"] == recipe["diagnose"]["max_samples"]
    return {key: _first_reader(key, fixed) for key in keys}


def _shared(source: Path, recipe: Mapping[str, Any], readers: Mapping[str, int]) -> tuple[str, ...]:
    return _done(source, min(readers.values(), default=len(STAGES) - 1), recipe["rounds"])


def _first_reader(key: str, fixed: bool) -> int:
    """The place in `STAGES` of the first stage that reads `key`; `fixed`: diagnosis takes a fixed number of samples."""
    fits = [part for part in READ_FROM if f"{key}.".startswith(f"{part}.")]
    if not fits:
        return 0
    place = READ_FROM[max(fits, key=len)]
    return STAGES.index(_DISTILL) if fixed and fits == ["distill"] else place


def _done(source: Path, first: int, rounds: int) -> tuple[str, ...]:
    """The finished stages before place `first`, up to one that is not; a later round hangs on all of the one before."""
    names = list(STAGES[:first])
    if first == len(STAGES) - 1:
        names += [f"{round_name(number)}/{stage}" for number in range(2, rounds + 1) for stage in STAGES[:first]]
    undone = (place for place, name in enumerate(names) if not Stage(source / name).done)
    return tuple(names[: next(undone, len(names))])


def _take_answers(source: Path, made: Run) -> None:
    """What experts were paid for before is not paid for again, nor does it count in the new run's budget."""
    files = [source / _EXPERT / name for name in (answers.TAKEN, answers.JOURNAL)]
    rows = [row for file in files if file.exists() for row in read_jsonl(file) if "key" in row]
    if rows:
        write_jsonl(made.path / _EXPERT / answers.TAKEN, rows)


def _take_metrics(source: Path, made: Run, taken: Sequence[str]) -> None:
    """The curves of the stages `taken`, each of its own round."""
    curves = {(name.rpartition("/")[0], name.rpartition("/")[2].partition("-")[2]) for name in taken}

    def belongs(curve: str) -> bool:
        turn, _, name = curve.rpartition("/")
        return (turn, name.partition("-")[0]) in curves

    write_jsonl(made.path / "metrics.jsonl", [row for row in Run(source).metrics() if belongs(row["stage"])])


def _take_scores(source: Path, made: Run) -> None:
    """The answers of the base and of the RL model: nothing that comes after RL changes them."""
    for arm in ("base", "rl"):
        for file in sorted((source / "6-evaluate").glob(f"{arm}-*.jsonl")):
            _take(file, made.stage("evaluate").path / file.name)


def _take_folder(source: Path, target: Path) -> None:
    """All files below `source`; unlike shutil's copytree it leaves an error as it is, with the file that it is of."""
    for folder, _, names in os.walk(source, onerror=_raise, followlinks=True):
        there = target / Path(folder).relative_to(source)
        there.mkdir(parents=True)
        for name in names:
            _take(Path(folder, name), there / name)


def _raise(error: OSError) -> None:
    raise error


def _take(source: Path, target: Path) -> None:
    """A second name for a file that is only ever replaced whole; a copy of a journal, which may grow again.

    Where the file system has no second names everything is copied.
    """
    if source.suffix == ".jsonl":
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
