"""Sends one tracker what a run's folder has and it has not."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path

from metis_rise.errors import InputError
from metis_rise.journal import parse_object
from metis_rise.redaction import redacted
from metis_rise.tracking.base import FOLDER, TrackedRun, Tracker
from metis_rise.tracking.folder import Row, RunFolder, SampleFile
from metis_rise.tracking.state import State

_ATTEMPTS = 3
# In calls of `sync`: with one every five seconds, ten minutes.
_LONGEST_REST = 120
# A finished run is sent in one call, which may take minutes: what a kill makes come twice is no more than this.
_KEEP_S = 2.0


class Feed:
    """One tracker of one run. Nothing that it raises leaves here: it is counted, and told once."""

    def __init__(
        self, run: Path, name: str, open_tracker: Callable[[TrackedRun], Tracker], warn: Callable[[str], None]
    ) -> None:
        """The first `sync` that has something for it opens the tracker, or `close`, to say that the run is done.

        Args:
            run: the run's folder.
            name: of the tracker, such as "wandb".
            open_tracker: connects to it.
            warn: is told of the first failure.

        Raises:
            InputError: recipe.json holds no JSON object.
        """
        self._name, self._open_tracker, self._warn = name, open_tracker, warn
        recipe = parse_object((run / "recipe.json").read_bytes())
        if recipe is None:
            raise InputError(f"{run / 'recipe.json'}: not a JSON object")
        self._recipe = recipe
        # Held open, so that no other folder gets its number.
        self._run, self._held, self._folder = run, os.open(run, os.O_RDONLY), RunFolder(run)
        self._file = state_file(run, name)
        self.state = State.read(self._file)
        self._told = False
        self._tracker: Tracker | None = None
        self._waiting: deque[Row | SampleFile] = deque()
        self._tries, self._rest, self._failed_in_a_row = 0, 0, 0
        self._kept_at = time.monotonic()

    def sync(self) -> None:
        """Sends what is new, as far as it goes; after failures it lets ever more calls pass before it tries again."""
        self._waiting.extend(self._folder.news())
        if self._rest:
            self._rest -= 1
            return
        before = self.state.items, self.state.failures
        while self._waiting and self._send(self._waiting[0]):
            pass
        if (self.state.items, self.state.failures) != before:
            self._keep()

    def close(self, done: bool) -> None:
        """Sends the rest and ends the connection; `done`: the run has done all its work."""
        self._waiting.extend(self._folder.news())
        # There is no later: what a connected tracker refuses is given up here, so that the rest gets through.
        while self._waiting and (self._send(self._waiting[0]) or self._tracker is not None):
            pass
        # The process of a killed attempt, which sends the rest, can get hold of the next one's rows too: then nothing
        # is left to send but that the run is done.
        if self._tracker is not None or (done and self.state.items and not self.state.done and not self._waiting):
            try:
                tracker = self._tracker = self._tracker or self._connect()
                tracker.close(done)
                self.state.done = done
            except Exception as error:
                self._note(error)
        self._keep()

    def _send(self, item: Row | SampleFile) -> bool:
        """Whether it, the first that waits, is settled: sent, sent before, or given up; then it waits no more."""
        # Steps after a checkpoint are done again by a resumed run, with the same outcome up to rounding.
        if item.step > self.state.sent.get(item.name, -1):
            try:
                self._hand_over(item)
                self.state.items += 1
            except Exception as error:
                self._note(error)
                # Without a connection nothing can be given up on.
                self._tries += self._tracker is not None
                if self._tries < _ATTEMPTS:
                    return False
                self.state.lost += 1
            self.state.sent[item.name] = item.step
            self._tries, self._failed_in_a_row = 0, 0
            if time.monotonic() - self._kept_at >= _KEEP_S:
                self._keep()
        self._waiting.popleft()
        return True

    def _hand_over(self, item: Row | SampleFile) -> None:
        tracker = self._tracker = self._tracker or self._connect()
        if isinstance(item, Row):
            tracker.scalars(item.name, item.step, item.time, item.values)
        elif samples := self._folder.samples(item.file, self._recipe["tracking"]["samples"]):
            tracker.samples(item.name, item.step, samples)

    def _connect(self) -> Tracker:
        folder = self._run / FOLDER
        folder.mkdir(exist_ok=True)
        project = self._recipe["tracking"]["project"]
        # Kept before it is used: the next attempt must find the same tracked run.
        self.state.done = False
        self._keep()
        run = TrackedRun(project, self._run.resolve().name, self.state.id, folder, self._recipe, self.state.items)
        return self._open_tracker(run)

    def _keep(self) -> None:
        # A process outlives the run's for a while, and --fresh may have put another run in this one's place.
        if not os.path.samestat(self._run.stat(), os.fstat(self._held)):
            raise InputError(f"{self._run}: is another run by now")
        self.state.write(self._file)
        self._kept_at = time.monotonic()

    def _note(self, error: Exception) -> None:
        self.state.failures += 1
        self._failed_in_a_row += 1
        self._rest = min(2**self._failed_in_a_row, _LONGEST_REST)
        print(redacted(traceback.format_exc()), file=sys.stderr, flush=True)
        if not self._told:
            self._told = True
            said = " ".join(str(error).split())[:200]
            self._warn(
                f"tracking: {self._name} failed ({type(error).__name__}: {said}); the run goes on, and what was not "
                f"sent is tried again; more in {FOLDER}/{self._name}.log"
            )


def state_file(run: Path, name: str) -> Path:
    """Where a tracker's `State` is."""
    return run / FOLDER / f"{name}.json"
