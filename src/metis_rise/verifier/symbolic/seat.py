"""A place for one worker, which is started when it is first needed and replaced when it has to be killed."""

from __future__ import annotations

import logging
import time

from metis_rise.crew.lines import Gone
from metis_rise.verifier.symbolic.process import Worker

log = logging.getLogger(__name__)


class Seat:
    """Asks one worker at a time, for one thread at a time.

    Attributes:
        worker: None before the first question.
        died: workers that have ended by themselves so far.
    """

    def __init__(self, deadline_s: float) -> None:
        """`deadline_s` is how long a worker may take for a pair, its start not counted."""
        self._deadline_s = deadline_s
        self.worker: Worker | None = None
        self.died = 0

    def ask(self, gold: str, answer: str) -> bool | None:
        """What the worker says; None at the deadline, after which it is killed.

        A worker that ends by itself may have been killed by somebody else, also between two questions: a new one is
        asked again, within the same deadline.

        Raises:
            InputError: no worker can be started.
        """
        ends = None
        for _ in range(2):
            try:
                worker = self.worker = self.worker or Worker(self._deadline_s)
                worker.wait_until_ready()
                ends = ends or time.monotonic() + self._deadline_s
                return worker.same(gold, answer, ends)
            except TimeoutError:
                self._replace()
                return None
            except Gone:
                self._count(worker)
                self._replace()
            except BaseException:
                # A Ctrl-C here leaves an answer under way that the next pair must not get.
                self.close()
                raise
        return None

    def close(self) -> None:
        """End the worker, if there is one."""
        if self.worker is not None:
            self.worker.kill()
            self.worker = None

    def forget(self) -> None:
        """See `Worker.forget`."""
        if self.worker is not None:
            self.worker.forget()
            self.worker = None

    def _count(self, worker: Worker) -> None:
        self.died += 1
        # Of answers that crash it there may be thousands.
        if self.died.bit_count() == 1:
            log.warning("symbolic checker: process %d ended and is replaced (%d so far)", worker.pid, self.died)

    def _replace(self) -> None:
        """The new worker starts while this process goes on."""
        self.close()
        self.worker = Worker(self._deadline_s)
