"""What every tracker is given, and what it must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from metis_rise.types import Problem, Trajectory

FOLDER = "tracking"
"""The folder, in a run's, of what trackers write and of what each has been sent."""

DONE = b"done"
"""What a tracker's process is told when the run has done all its work."""

END_S = 60.0
"""Seconds that it then takes at most to send the rest."""

COLUMNS = ("problem", "picture", "question", "gold", "completion", "extracted", "right", "well formed", "reason")
"""The columns of a table of samples, as `Sample.cells` fills them."""

_MOST_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """The run as trackers know it.

    Attributes:
        project: what the tracker keeps it in.
        name: of the run.
        id: the same in all attempts at this run, and of no other run.
        folder: a place in the run's folder for what the tracker writes.
        recipe: the resolved recipe, plain JSON values.
        sent: how many items earlier attempts have sent.
    """

    project: str
    name: str
    id: str
    folder: Path
    recipe: Mapping[str, Any]
    sent: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A completion with its problem; the problem's pictures are side by side in one, None where it has none."""

    problem: Problem
    trajectory: Trajectory
    picture: Image.Image | None

    def cells(self, show: Callable[[Image.Image], Any]) -> list[Any]:
        """Values for `COLUMNS`: what `show` makes of the picture, truth values, and texts, the longest of them cut."""
        verdict = self.trajectory.verdict
        return [
            self.problem.id,
            None if self.picture is None else show(self.picture),
            _cut(self.problem.question),
            self.problem.answer,
            _cut(self.trajectory.text),
            "" if verdict is None else verdict.extracted or "",
            verdict is not None and verdict.correct,
            verdict is not None and verdict.well_formed,
            "" if verdict is None else verdict.reason,
        ]


class Tracker(Protocol):
    """A connection to one tracker. A method that raises is called again later with the same values."""

    def scalars(self, curve: str, step: int, at: float, values: Mapping[str, float]) -> None:
        """Takes one row of a curve set such as "rl" or "round-2/rl-dev"; `at` in seconds since 1970."""

    def samples(self, name: str, step: int, rows: Sequence[Sample]) -> None:
        """Takes a table of samples such as "samples/rl", which belongs to `step` of its curve set."""

    def close(self, done: bool) -> None:
        """Sends what is left; `done`: the run has done all its work, and was not stopped or ended by a fault."""


def _cut(text: str) -> str:
    more = len(text) - _MOST_CHARACTERS
    return text if more <= 0 else f"{text[:_MOST_CHARACTERS]} … ({more} more characters)"
