"""Where a step's groups come from: collected when they are asked for, or one step ahead, in a thread."""

from __future__ import annotations

import time
from threading import Thread
from typing import Any

from metis_rise.stages.collector import Collected, Collector
from metis_rise.types import Problem

# Seconds that a thread gets to end once its engine is closed; it does not keep the process alive anyway.
_PATIENCE = 30.0


class Batches:
    """The groups of one step after another.

    With `ahead` the next step's are collected in a thread, from `begin` to `wait`; the caller trains meanwhile, and
    pushes weights only while nothing is under way.

    Attributes:
        waited: seconds that callers have spent waiting for groups so far.
    """

    def __init__(self, collector: Collector, ahead: bool) -> None:
        """`collector` is used by nobody else from now on."""
        self._collector, self._ahead = collector, ahead
        self._thread: Thread | None = None
        self._held: tuple[int, Collected] | None = None
        self._error: BaseException | None = None
        self._before: dict[str, Any] | None = None
        self.waited = 0.0

    def take(self, step: int) -> Collected:
        """The groups of `step`: those begun earlier, else collected now."""
        self.wait()
        held, self._held, self._before = self._held, None, None
        if held is None:
            began = time.monotonic()
            held = (step, self._collector.collect(step))
            self.waited += time.monotonic() - began
        if held[0] != step:
            raise ValueError(f"groups of step {held[0]} were collected, not of step {step}")
        return held[1]

    def coming(self) -> list[Problem]:
        """Problems that will probably be sampled next; none while they are sampled already."""
        return self._collector.coming() if self._thread is None else []

    def begin(self, step: int) -> None:
        """Starts to collect the groups of `step`, if this is to be done ahead; `take` gives them."""
        if self._ahead:
            self._before = self._collector.state_dict()
            self._thread = Thread(target=self._collect, args=(step,), name=f"groups of step {step}", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Until nothing is under way. Raises what the thread raised."""
        if self._thread is None:
            return
        began = time.monotonic()
        self._thread.join()
        self.waited += time.monotonic() - began
        self._thread = None
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Until nothing is under way, its outcome ignored: close the engine first, so that it fails soon."""
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    @property
    def waiting(self) -> int:
        """Surplus groups that no step has trained on yet."""
        return self._collector.waiting

    def state_dict(self) -> dict[str, Any]:
        """The collector's state, before groups that were begun and not taken: a resumed run draws these anew."""
        return self._collector.state_dict() if self._before is None else self._before

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`; nothing may be under way."""
        self._collector.load_state_dict(state)

    def _collect(self, step: int) -> None:
        try:
            self._held = (step, self._collector.collect(step))
        except BaseException as error:  # raised by `wait` in the thread that trains
            self._error = error
