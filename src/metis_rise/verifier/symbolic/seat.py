"""A place for one worker, which is started when it is first needed and replaced when it has to be killed."""

from __future__ import annotations

import time

from metis_rise.verifier.symbolic.process import Worker, WorkerGone


class Seat:
    """Asks one worker at a time, for one thread at a time. `worker` is None before the first question."""

    def __init__(self, deadline_s: float) -> None:
        """`deadline_s` is how long a worker may take for a pair, its start not counted."""
        self._deadline_s = deadline_s
        self.worker: Worker | None = None

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
            except WorkerGone:
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

    def _replace(self) -> None:
        """The new worker starts while this process goes on."""
        self.close()
        self.worker = Worker(self._deadline_s)
