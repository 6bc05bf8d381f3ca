"""A few helper processes for all threads of a process: started when needed, replaced when they die."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import Any

from metis_rise.crew.helper import START_S, Helper
from metis_rise.crew.lines import Gone
from metis_rise.crew.wire import Values
from metis_rise.errors import InputError

log = logging.getLogger(__name__)
# How often a job is given to a helper that dies of it, or beside it.
_ATTEMPTS = 2


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """Helpers that run one module.

    Attributes:
        size: how many there are at most.
        replaced: how many have died so far and were replaced.
    """

    def __init__(self, module: str, settings: Values, size: int) -> None:
        """No process is started yet.

        Args:
            module: what they run: see `serve`.
            settings: what each of them is told first, as JSON values.
            size: how many at most, one for each thread that waits for an answer.
        """
        self.size = size
        self.replaced = 0
        self._module, self._settings = module, settings
        self._lock = threading.Lock()
        self._idle: list[Helper] = []
        self._all: list[Helper] = []
        self._closed = False
        self._free = threading.Semaphore(size)
        # The interpreter may end without anybody having closed the crew.
        weakref.finalize(self, _close_all, self._all)

    def ask(self, job: Values) -> tuple[dict[str, Any], bytearray]:
        """What a helper answers to `job`; a helper that dies meanwhile is replaced, and the new one asked again.

        Raises:
            InputError: two helpers died, or none can be started.
            Gone: the crew was closed.
        """
        words = ""
        with self._free:
            for _ in range(_ATTEMPTS):
                helper = self._take()
                try:
                    answer = helper.ask(job)
                except Gone:
                    words = helper.last_words()
                    self._let_go(helper)
                    if self._closed:
                        raise
                    self._count(helper.pid, words)
                except TimeoutError as error:
                    self._let_go(helper)
                    raise InputError(f"a helper process was not ready within {START_S:.0f} s") from error
                except BaseException:
                    # A Ctrl-C here leaves an answer under way that the next job must not get.
                    self._let_go(helper)
                    raise
                else:
                    with self._lock:
                        self._idle.append(helper)
                    return answer
        raise InputError(f"{_ATTEMPTS} helper processes ended at this job, {job}: {words}")

    def pids(self) -> list[int]:
        """The processes that there are now."""
        with self._lock:
            return [helper.pid for helper in self._all]

    def close(self) -> None:
        """Ends all helpers; threads that wait for one get Gone."""
        with self._lock:
            self._closed = True
        _close_all(self._all)

    def _take(self) -> Helper:
        with self._lock:
            if self._closed:
                raise Gone
            if self._idle:
                return self._idle.pop()
            helper = Helper(self._module, self._settings)
            self._all.append(helper)
            return helper

    def _count(self, pid: int, words: str) -> None:
        with self._lock:
            self.replaced += 1
            number = self.replaced
        log.warning("helper process %d of %s ended: %s (%d so far)", pid, self._module, words, number)

    def _let_go(self, helper: Helper) -> None:
        with self._lock:
            if helper not in self._all:
                return
            self._all.remove(helper)
        helper.close()


def _close_all(helpers: list[Helper]) -> None:
    while helpers:
        helpers.pop().close()
