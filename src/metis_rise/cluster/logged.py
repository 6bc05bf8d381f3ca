"""What an earlier run logged of its RL steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metis_rise.errors import InputError
from metis_rise.journal import read_jsonl

Step = Mapping[str, float]


def rl_steps(run: Path) -> Sequence[Step]:
    """The metrics of each RL step of the run in folder `run`; InputError where there are none."""
    path = run / "metrics.jsonl"
    rows = read_jsonl(path) if path.is_file() else []
    steps = [row.get("values") for row in rows if row.get("stage") == "rl"]
    if not steps:
        raise InputError(f"{run}: holds no metrics of an RL step; name the folder of a run whose RL has begun")
    if not all(isinstance(values, dict) for values in steps):
        raise InputError(f"{path}: an RL step has no values; name a run of this version")
    return [values for values in steps if values is not None]


def figure(run: Path, step: Step, name: str) -> float:
    """A number of an RL step of that run; InputError where it lacks it."""
    value = step.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        path = run / "metrics.jsonl"
        raise InputError(f"{path}: an RL step lacks a figure ({name!r}); name a run of this version")
    return value
