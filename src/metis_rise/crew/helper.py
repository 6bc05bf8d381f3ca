"""One helper process, seen from the process that asks it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

from metis_rise.crew.child import last_words, start
from metis_rise.crew.wire import Values, Wire
from metis_rise.errors import InputError

# An interpreter that imports what it needs is ready within seconds; this is for a machine busy with other things.
START_S = 120.0
# For a job under way to end, so that no half-written file is left.
_END_S = 10.0


class Helper:
    """A helper process, for one thread at a time; of no more use after an exception but to be closed."""

    def __init__(self, module: str, settings: Values) -> None:
        """Starts `module` (see `serve`); InputError where there is no process to be had."""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._channel, theirs = socket.socketpair()
        self._ready = False
        try:
            # There is a helper for each core.
            variables = {"OMP_NUM_THREADS": "1"}
            self._process = start(module, [], theirs.fileno(), self._said.fileno(), variables)
        except OSError as error:
            self._channel.close()
            self._said.close()
            raise InputError(f"a helper process cannot be started with {sys.executable!r}: {error}") from error
        finally:
            theirs.close()
        self._wire = Wire(self._channel)
        self._settings = settings

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, job: Values) -> tuple[dict[str, Any], bytearray]:
        """What it answers; the first question waits for it to be ready.

        Raises:
            Gone: it has ended.
            TimeoutError: it was not ready in time.
        """
        if not self._ready:
            self._wire.send(self._settings)
            self._wire.receive(time.monotonic() + START_S)
            self._ready = True
        self._wire.send(job)
        return self._wire.receive()

    def last_words(self) -> str:
        """The last line that it wrote to standard error; "" once it is closed."""
        return last_words(self._said)

    def close(self) -> None:
        """Ends it and leaves nothing of it; a thread that waits for its answer gets Gone."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._channel.close()
        self._said.close()
