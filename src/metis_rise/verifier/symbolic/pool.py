"""Workers for all threads of a process, and the verdicts that they have given."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from metis_rise.verifier.symbolic.seat import Seat

DEADLINE_S = 3.0
MAX_CHARS = 1000
MAX_WORKERS = 8
REMEMBERED = 65536


class SymbolicPool:
    """Answers `same` in any thread. A child process, forked or spawned, has workers of its own.

    `asked` counts the pairs that a worker was asked about, `undecided` those of them that got no verdict.
    """

    def __init__(self, workers: int | None = None, deadline_s: float = DEADLINE_S) -> None:
        """Nothing is started yet.

        Args:
            workers: how many processes at most, one for each thread that waits for a verdict; one per core, but no
                more than 8, if not given.
            deadline_s: how long a worker may take for a pair; its start, about a second, is not counted.
        """
        self._seats = [Seat(deadline_s) for _ in range(workers or min(os.cpu_count() or 1, MAX_WORKERS))]
        self._start_afresh()
        weakref.finalize(self, _close_all, self._seats)
        _POOLS.add(self)

    def same(self, gold: str, answer: str) -> bool | None:
        """Whether `answer` means `gold` by math-verify, each of them one formula in LaTeX; `$` signs do not matter.

        The last 65,536 verdicts are remembered, those that are None too.

        Returns:
            None where there is no verdict: a text cannot be read or is longer than 1,000 characters, the deadline has
            passed, the worker's memory did not suffice or it crashed.

        Raises:
            InputError: math-verify is not installed as it should be, or no process can be started.
        """
        if max(len(gold), len(answer)) > MAX_CHARS:
            return None
        pair = (gold, answer)
        with self._lock:
            if pair in self._verdicts:
                self._verdicts.move_to_end(pair)
                return self._verdicts[pair]
        with self._seat() as seat:
            verdict = seat.ask(gold, answer)
        with self._lock:
            self.asked += 1
            self.undecided += verdict is None
            self._verdicts[pair] = verdict
            if len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
        return verdict

    def pids(self) -> list[int]:
        """The workers that there are now."""
        workers = [seat.worker for seat in self._seats]
        return [worker.pid for worker in workers if worker is not None]

    def close(self) -> None:
        """End all workers, while no thread waits for one; the pool starts new ones when it is used again."""
        _close_all(self._seats)

    def forget(self) -> None:
        """In a forked child: leave the workers to the parent, and what other threads had locked."""
        for seat in self._seats:
            seat.forget()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._given_back = threading.Condition(self._lock)
        # The last one is taken first, so that few processes are started.
        self._idle = list(self._seats)
        self._verdicts: OrderedDict[tuple[str, str], bool | None] = OrderedDict()
        self.asked = self.undecided = 0

    @contextmanager
    def _seat(self) -> Iterator[Seat]:
        with self._given_back:
            self._given_back.wait_for(lambda: self._idle)
            seat = self._idle.pop()
        try:
            yield seat
        finally:
            with self._given_back:
                self._idle.append(seat)
                self._given_back.notify()


def _close_all(seats: list[Seat]) -> None:
    for seat in seats:
        seat.close()


def _forget_all() -> None:
    for pool in list(_POOLS):
        pool.forget()


_POOLS: weakref.WeakSet[SymbolicPool] = weakref.WeakSet()
# A forked child that held on to the sockets would keep workers alive whose parent is dead.
os.register_at_fork(after_in_child=_forget_all)
_SHARED = SymbolicPool()


def shared_pool() -> SymbolicPool:
    """The pool behind `symbolic_same`."""
    return _SHARED


def symbolic_same(gold: str, answer: str) -> bool | None:
    """`SymbolicPool.same` of a pool that the whole process shares, with the default deadline of 3 s."""
    return _SHARED.same(gold, answer)
