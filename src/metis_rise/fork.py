"""A new run that takes up the finished stages of another one, with other settings for the stages after them.

What an ablation needs: RL and diagnosis are done once, and each arm trains on what they left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.run import STAGES, Run, differences, write_jsonl

# The first stage that reads a section of the recipe; sections that are not named here are read by the first of all.
READ_FROM = {"diagnose": 1, "distill": 2, "expert": 3, "sft": 4, "evaluate": 5, "judge": 1}
# Belongs to a run, not to what it does.
OWN = "name"


def fork(source: Path, made: Run, recipe: Mapping[str, Any], may_change: Collection[str]) -> tuple[str, ...]:
    """Takes over what `recipe` and the run in `source` share: its problems and the stages that it has done.

    Args:
        source: folder of a run.
        made: the new run, whose folder holds nothing but its recipe.
        recipe: the new run's resolved recipe.
        may_change: dotted keys that do not change what a stage makes.

    Returns:
        The numbered names of the stages that are taken over, at least one.

    Raises:
        InputError: no run there, or one that shares no finished stage.
    """
    if not (source / "recipe.json").is_file():
        raise InputError(f"{source}: no run folder (it holds no recipe.json); name one such as runs/tiny")
    changed = {
        key: pair
        for key, pair in differences(source, recipe).items()
        if key != OWN and not any(key == free or key.startswith(f"{free}.") for free in may_change)
    }
    first = min((READ_FROM.get(key.partition(".")[0], 0) for key in changed), default=len(STAGES) - 1)
    taken = _done(Run(source), first)
    if not taken:
        why = "its first stage is not done"
        if first == 0:
            why = "the recipes differ in what RL needs: " + ", ".join(
                f"{key} ({old} there, {new} here)"
                for key, (old, new) in changed.items()
                if READ_FROM.get(key.partition(".")[0], 0) == 0
            )
        raise InputError(f"{source}: there is nothing to take over, {why}")
    for name in ("problems", "images", *taken):
        shutil.copytree(source / name, made.path / name, copy_function=_link)
    _copy_metrics(source, made, taken)
    _copy_scores(source, made, first)
    made.event("fork", source=str(source), stages=list(taken))
    return taken


def _done(run: Run, first: int) -> tuple[str, ...]:
    """The finished stages before `first`, up to one that is not."""
    taken: list[str] = []
    for name in STAGES[:first]:
        if not run.stage(name).done:
            break
        taken.append(name)
    return tuple(taken)


def _copy_metrics(source: Path, made: Run, taken: Collection[str]) -> None:
    curves = tuple(name.partition("-")[2] for name in taken)
    rows = [row for row in Run(source).metrics() if row["stage"].partition("-")[0] in curves]
    write_jsonl(made.path / "metrics.jsonl", rows)


def _copy_scores(source: Path, made: Run, first: int) -> None:
    """The answers of the base and of the RL model: nothing that comes after RL changes them."""
    if first < READ_FROM["evaluate"]:
        for arm in ("base", "rl"):
            for file in sorted((source / "6-evaluate").glob(f"{arm}-*.jsonl")):
                _link(file, made.stage("evaluate").path / file.name)


def _link(source: str | Path, target: str | Path) -> None:
    """A second name for a file that is never written again; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
