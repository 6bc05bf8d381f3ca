"""One worker process, seen from the process that asks it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import time
from typing import Any

from metis_rise.crew.child import last_words, start
from metis_rise.crew.lines import Gone, Lines
from metis_rise.errors import InputError

# An interpreter that imports sympy is ready within a second or two; this is for a machine busy with other things.
START_S = 60.0
# Of address space, of which sympy and its grammars take a tenth.
MEMORY_MB = 2048


class Worker:
    """A worker process (worker.py), for one thread at a time; of no more use after any exception but to `kill` it."""

    def __init__(self, deadline_s: float) -> None:
        """Start it without waiting until it is ready; InputError where there is no process to be had."""
        self._start_ends = time.monotonic() + START_S
        self._ready = False
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives until the worker is ready
        self._channel, theirs = socket.socketpair()
        self._lines = Lines(self._channel)
        arguments = [str(os.getpid()), str(deadline_s), str(MEMORY_MB)]
        # sympy's order of terms, and with it what it proves, may hang on the hashes of names.
        variables = {"PYTHONHASHSEED": "0"}
        try:
            module = f"{__package__}.worker"
            self._process = start(module, arguments, theirs.fileno(), self._said.fileno(), variables)
        except OSError as error:
            self._close()
            raise InputError(f"the symbolic checker cannot be started with {sys.executable!r}: {error}") from error
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """The process, and its process group."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Return once it waits for pairs; InputError where that fails or takes longer than `START_S`."""
        if self._ready:
            return
        try:
            hello = self._read(self._start_ends)
        except TimeoutError as error:
            raise InputError(f"the symbolic checker was not ready within {START_S:.0f} s") from error
        except Gone as error:
            raise InputError(f"the symbolic checker ended while it started: {last_words(self._said)}") from error
        if "broken" in hello:
            raise InputError(
                f"the symbolic checker cannot use math-verify ({hello['broken']}); "
                "mend the installation: pip install 'math-verify[antlr4_13_2]'"
            )
        self._said.close()
        self._ready = True

    def same(self, gold: str, answer: str, ends: float) -> bool | None:
        """What a worker that is ready says of the pair.

        Raises:
            TimeoutError: the clock (`time.monotonic`) shows `ends`.
            Gone: the process has ended.
        """
        self._lines.send(json.dumps({"gold": gold, "answer": answer}).encode("ascii") + b"\n", ends)
        verdict: bool | None = self._read(ends)["same"]
        return verdict

    def kill(self) -> None:
        """End the process group at once and leave nothing of it."""
        self._close()
        # As long as the process was not waited for, its number belongs to nobody else.
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def forget(self) -> None:
        """In a forked child, whose parent the worker belongs to: let go of it without ending it."""
        self._close()
        self._process.returncode = 0

    def _read(self, ends: float) -> Any:
        return json.loads(self._lines.line(ends))

    def _close(self) -> None:
        self._channel.close()
        self._said.close()
