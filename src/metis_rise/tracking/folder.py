"""What is new in a run's folder. It is only read: a run that is tracked does nothing that another one does not."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from metis_rise.journal import parse_line, parse_object, stream_jsonl
from metis_rise.problems.dataset import SPLITS
from metis_rise.problems.images import ImageStore
from metis_rise.tracking.base import Sample
from metis_rise.types import Problem, Trajectory

SCORES = "evaluate"
"""The curve set of the accuracies on the test problems, one row at step 0."""

# What stages that sample leave; RL's files are shown with the evaluations between its steps.
_STAGE_FILES = ("2-diagnose", "3-distill", "4-expert")
_EVALUATE = "6-evaluate"
_LARGEST = 448


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a curve set; `time` in seconds since 1970."""

    name: str
    step: int
    time: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A file of trajectories, some of which are to be shown as the table `name`."""

    name: str
    step: int
    file: Path


class RunFolder:
    """The folder of a run that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._held: int | None = None
        self._told: set[str] = set()

    def news(self) -> Iterator[Row | SampleFile]:
        """What has come since the last call, at first all there is.

        Rows that a resumed run writes again come again.
        """
        for row in self._metrics():
            yield row
            turn, _, name = row.name.rpartition("/")
            file = self.path / turn / "1-rl" / f"trajectories-{row.step:06d}.jsonl"
            if name == "rl-dev" and file.exists():
                yield SampleFile(_table(turn, "rl"), row.step, file)
        for found in self._stages():
            if found.name not in self._told:
                self._told.add(found.name)
                yield found

    def _metrics(self) -> Iterator[Row]:
        file = self.path / "metrics.jsonl"
        if not file.exists():
            return
        with file.open("rb") as lines:
            self._hold(lines.fileno())
            lines.seek(self._offset)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                row = parse_line(line)
                if row is not None:
                    yield _row(row)

    def _hold(self, descriptor: int) -> None:
        """Begins at the start where the open journal is another file than the one before.

        A resumed stage, which drops the steps that it does again, writes the journal anew. The one before is held open
        until then, so that none of the new files gets its number.
        """
        if self._held is not None and os.path.samestat(os.fstat(self._held), os.fstat(descriptor)):
            return
        if self._held is not None:
            os.close(self._held)
        self._held, self._offset = os.dup(descriptor), 0

    def _stages(self) -> Iterator[Row | SampleFile]:
        for home in (self.path, *sorted(self.path.glob("round-*/"))):
            turn = "" if home == self.path else home.name
            for stage in _STAGE_FILES:
                file = home / stage / "trajectories-0000.jsonl"
                if (home / stage / "DONE").exists() and file.exists():
                    yield SampleFile(_table(turn, stage.partition("-")[2]), 0, file)
        done = self.path / _EVALUATE / "DONE"
        if done.exists():
            arms = (parse_object(done.read_bytes()) or {}).get("arms", {})
            yield Row(SCORES, 0, done.stat().st_mtime, _scores(arms))
        for file in sorted((self.path / _EVALUATE).glob("*-*.jsonl")):
            yield SampleFile(f"samples/{file.stem}", 0, file)

    def samples(self, file: Path, count: int) -> list[Sample]:
        """One completion of each of `count` problems, or of all where there are fewer.

        Which problems is settled by their ids: different files show the same ones as far as they have them.

        Raises:
            InputError: a file of the run is damaged.
        """
        chosen = heapq.nsmallest(count, _first_of_each(file), key=lambda t: sha256(t.problem_id.encode()).digest())
        problems = self._problems({trajectory.problem_id for trajectory in chosen})
        store = ImageStore(self.path / "images")
        return [
            Sample(problem, trajectory, _side_by_side([store.open(key) for key in problem.images]))
            for trajectory in chosen
            if (problem := problems.get(trajectory.problem_id)) is not None
        ]

    def _problems(self, wanted: set[str]) -> dict[str, Problem]:
        files = [self.path / "problems" / f"{split}.jsonl" for split in SPLITS]
        rows = (row for file in files if file.exists() for _, row in stream_jsonl(file))
        return {row["id"]: Problem.from_json(row) for row in rows if row["id"] in wanted}


def _row(row: Mapping[str, Any]) -> Row:
    return Row(row["stage"], row["step"], datetime.fromisoformat(row["time"]).timestamp(), row["values"])


def _scores(arms: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"{arm}/{mode}/{name}": score[name]
        for arm, modes in arms.items()
        for mode, score in modes.items()
        for name in ("accuracy", "low", "high")
        if name in score
    }


def _table(turn: str, name: str) -> str:
    return f"samples/{turn}/{name}" if turn else f"samples/{name}"


def _first_of_each(file: Path) -> Iterator[Trajectory]:
    seen: set[str] = set()
    for _, row in stream_jsonl(file):
        if row["problem_id"] not in seen:
            seen.add(row["problem_id"])
            yield Trajectory.from_json(row)


def _side_by_side(pictures: Sequence[Image.Image]) -> Image.Image | None:
    for picture in pictures:
        picture.thumbnail((_LARGEST, _LARGEST))
    if len(pictures) < 2:
        return pictures[0] if pictures else None
    sheet = Image.new("RGB", (sum(each.width for each in pictures), max(each.height for each in pictures)), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width
    return sheet
