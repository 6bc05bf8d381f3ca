"""How a run ends when it is asked to: the first SIGINT or SIGTERM lets a step end and be kept, a second one does not.

What is no step of training (loading, sampling into a journal) is resumable as it is, and ends at the first signal.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SAID = b"\ninterrupted: this step is finished and kept first; interrupt again to stop at once\n"
TOGETHER_S = 1.0
"""Signals within so many seconds are one: a terminal and whatever has started a process may both pass Ctrl-C on."""

_STDERR = 2


@dataclass(slots=True)
class _State:
    """asked: when the first signal came (seconds, monotonic). finishing: whether a step is under way.

    told: whether a view on the terminal says so, and nothing need be written under it.
    """

    asked: float | None = None
    finishing: bool = False
    told: bool = False


# Of the process, as signals are.
_state = _State()


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Until the end of the block SIGINT and SIGTERM raise KeyboardInterrupt, within `finished_first` at its end.

    In a thread other than the main one, which gets no signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.asked, _state.finishing = None, False
    before = {number: signal.signal(number, _heard) for number in _heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.asked = None


@contextmanager
def finished_first(keep: Callable[[], None]) -> Iterator[None]:
    """A step: a first signal in the block lets it end, calls `keep`, and stops then (KeyboardInterrupt)."""
    _state.finishing = True
    try:
        yield
    finally:
        _state.finishing = False
    if _state.asked is not None:
        keep()
        raise KeyboardInterrupt


def asked() -> bool:
    """Whether a signal has asked for the end, and a step is finished first."""
    return _state.asked is not None and _state.finishing


def told_by_view(told: bool) -> None:
    """Whether from now on a view on the terminal, which watches `asked`, tells the user instead of a line."""
    _state.told = told


def _heeded() -> tuple[signal.Signals, ...]:
    # torchrun sends SIGTERM to all others when one process has failed: there is no step to finish then.
    several = "LOCAL_RANK" in os.environ
    return (signal.SIGINT,) if several else (signal.SIGINT, signal.SIGTERM)


def _heard(number: int, frame: FrameType | None) -> None:
    now, first = time.monotonic(), _state.asked
    if first is not None and now - first < TOGETHER_S:
        return
    _state.asked = first or now
    if first is None and _state.finishing:
        # Not by print: it may be under way in the code that the signal interrupts.
        if not _state.told:
            os.write(_STDERR, _SAID)
        return
    raise KeyboardInterrupt
