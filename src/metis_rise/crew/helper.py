"""One helper process, seen from the process that asks it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from typing import Any

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
            self._process = _start(module, theirs.fileno(), self._said.fileno())
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
            self._channel.settimeout(START_S)
            self._wire.receive()
            self._channel.settimeout(None)
            self._ready = True
        self._wire.send(job)
        return self._wire.receive()

    def last_words(self) -> str:
        """The last line that it wrote to standard error; "" once it is closed."""
        if self._said.closed:
            return ""
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was said")

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


def _start(module: str, channel: int, said: int) -> subprocess.Popen[bytes]:
    """In a session of its own, which a Ctrl-C at the terminal does not reach."""
    return subprocess.Popen(
        # -P: a module in the user's folder is not the one of that name that is meant.
        [sys.executable, "-P", "-m", module],
        stdin=channel,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env={
            **os.environ,
            # It finds the packages that this process finds.
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            # There is a helper for each core.
            "OMP_NUM_THREADS": "1",
        },
        start_new_session=True,
    )
