"""A tracker that notes in its folder what it is given, and misbehaves as a file there says."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metis_rise.tracking.base import Sample, TrackedRun

HOW = "how"
"""The file, in the run's tracking folder, that holds: refuse, fail, die, hang or stop."""


class FakeTracker:
    """Notes everything as lines of JSON in `noted.jsonl`."""

    def __init__(self, run: TrackedRun) -> None:
        self._folder = run.folder
        if self._how() == "refuse":
            raise ConnectionError("no way there\nsecond line")
        self._note("open", id=run.id, project=run.project, name=run.name, sent=run.sent, seed=run.recipe["seed"])

    def scalars(self, curve: str, step: int, at: float, values: Mapping[str, float]) -> None:
        if self._how() == "fail":
            raise RuntimeError("cannot take it")
        if self._how() == "die":
            print("its last words", file=sys.stderr, flush=True)
            os._exit(3)
        if self._how() == "hang":
            # Of the process: what a run that is over grants it.
            sys.modules["__main__"].__dict__["END_S"] = 0.2
            self._note("hang", process=os.getpid())
            time.sleep(1000)
        if self._how() == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        print("printed by a library")
        self._note("row", curve=curve, step=step, at=at, values=dict(values))

    def samples(self, name: str, step: int, rows: Sequence[Sample]) -> None:
        cells = [row.cells(lambda picture: picture.size) for row in rows]
        self._note("table", name=name, step=step, cells=cells)

    def close(self, done: bool) -> None:
        self._note("close", done=done)

    def _how(self) -> str:
        file = self._folder / HOW
        return file.read_text() if file.exists() else ""

    def _note(self, what: str, **values: Any) -> None:
        with (self._folder / "noted.jsonl").open("a") as file:
            file.write(json.dumps({"what": what, **values}) + "\n")


open_tracker = FakeTracker


def noted(run: Path, *kinds: str) -> list[dict[str, Any]]:
    """What was noted in the run's folder, of these kinds."""
    file = run / "tracking" / "noted.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [row for row in rows if row["what"] in kinds]


def tell(run: Path, how: str) -> None:
    """Makes it misbehave."""
    (run / "tracking").mkdir(exist_ok=True)
    (run / "tracking" / HOW).write_text(how)
