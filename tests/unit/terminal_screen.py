"""A terminal of a given size, and what a program leaves on it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyte

BACKGROUND = {"TERM": "xterm-256color", "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
PATIENCE_S = 60.0
# A program that goes on by itself may be gone from where a slow test looks for it.
HOLD = """
import os

def hold():
    os.read(int(os.environ["GO"]), 1)
"""


class Terminal:
    """Runs Python code with stdout and stderr on a terminal, or stdout in the file `out`.

    The code has a function `hold`, which returns when the test says `go`.
    """

    def __init__(self, code: str, columns: int = 80, rows: int = 24, out: Path | None = None) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=1000)
        self._stream = pyte.ByteStream(self.screen)
        self._answers: dict[bytes, bytes] = {}
        self._ours, theirs = pty.openpty()
        going, self._go = os.pipe()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        with open(theirs, "wb", buffering=0) as end, open(os.devnull if out is None else out, "wb") as file:
            stdout = end if out is None else file
            command = [sys.executable, "-c", HOLD + code]
            self.process = subprocess.Popen(
                command, stdin=end, stdout=stdout, stderr=end, env=BACKGROUND | {"GO": str(going)}, pass_fds=[going]
            )
        os.close(going)

    def read(self, seconds: float) -> None:
        """Reads what comes in that time, at most until the program's end."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self._ours], [], [], left)[0]:
            try:
                came = os.read(self._ours, 65536)
            except OSError:  # the program has ended
                return
            for question, answer in self._answers.items():
                if question in came:
                    self.type(answer)
            self._stream.feed(came)

    def answer(self, question: bytes, answer: bytes) -> None:
        """From now on the terminal answers what a program asks it."""
        self._answers[question] = answer

    def type(self, keys: bytes) -> None:
        """Types as a user does."""
        os.write(self._ours, keys)

    def go(self, times: int = 1) -> None:
        """Lets the program go on from so many calls of `hold`, of this one and the next."""
        os.write(self._go, b"." * times)

    def wait_for(self, *texts: str) -> None:
        """Reads until all of `texts` are on the screen at once."""
        end = time.monotonic() + PATIENCE_S
        while not all(text in self.text for text in texts) and time.monotonic() < end:
            self.read(0.05)
        assert all(text in self.text for text in texts), self.text

    def finish(self) -> int:
        """Reads to the end; the exit code."""
        self.read(PATIENCE_S)
        code = self.process.wait(PATIENCE_S)
        os.close(self._ours)
        os.close(self._go)
        return code

    @property
    def lines(self) -> list[str]:
        """What can be seen, from the first line that was ever written; without empty lines at the end."""
        before = ["".join(row[x].data for x in range(self.screen.columns)) for row in self.screen.history.top]
        found = [line.rstrip() for line in [*before, *self.screen.display]]
        while found and not found[-1]:
            found.pop()
        return found

    @property
    def text(self) -> str:
        return "\n".join(self.lines)
