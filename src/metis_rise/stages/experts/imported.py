"""Trajectories made elsewhere, which `rise import` put into the run: taken before any expert is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from metis_rise.recipe.expert import IMPORTED
from metis_rise.run import Run, read_jsonl
from metis_rise.stages.experts.acceptance import Examiner
from metis_rise.stages.experts.solving import Outcome
from metis_rise.types import Problem

FILE = "imported.jsonl"


def held(run: Run) -> dict[str, list[str]]:
    """The imported completions of each problem, by id, in the order of import; each once."""
    path = path_of(run)
    found: dict[str, dict[str, None]] = {}
    for row in read_jsonl(path) if path.exists() else []:
        found.setdefault(row["problem"], {})[row["text"]] = None
    return {problem: list(texts) for problem, texts in found.items()}


def accepted(run: Run, problems: Sequence[Problem], examine: Examiner) -> dict[str, Outcome]:
    """Of the problems for which a completion was imported that passes `examine`: the outcome, by id."""
    texts = held(run)
    found = ((p, _first(p, texts.get(p.id, ()), examine)) for p in problems)
    return {problem.id: outcome for problem, outcome in found if outcome is not None}


def _first(problem: Problem, texts: Iterable[str], examine: Examiner) -> Outcome | None:
    for text in texts:
        # Nobody knows what its writer was told.
        _, trajectory = examine(problem, text, whole=True, told=True)
        if trajectory is not None:
            return Outcome(problem, "", trajectory, IMPORTED)
    return None


def path_of(run: Run) -> Path:
    """Where imported trajectories are kept, those of all rounds."""
    return run.path / FILE
