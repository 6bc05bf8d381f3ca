"""The process that feeds one tracker: python -m metis_rise.tracking.process RUN NAME MODULE, run by `tracked`.

Trackers talk to networks, start threads, print, and ask for keys at the terminal. In a process of its own none of that
can stop, slow or end a run. It reads the run's folder every few seconds until its standard input, a socket, ends.
Whatever becomes of the run's process, it then sends the rest and ends too, even in the middle of a call that hangs: the
process of the next attempt waits for that. What it writes to the socket are warnings.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from metis_rise.redaction import hide_environment
from metis_rise.tracking.base import DONE, END_S, FOLDER
from metis_rise.tracking.feed import Feed

POLL_S = 5.0
"""Seconds between two looks at the run's folder."""


def main() -> None:
    """Feeds the tracker to the end of the run."""
    run, name, module = Path(sys.argv[1]), *sys.argv[2:]
    channel = _take_channel()
    end = _End(channel)
    # The run comes first where cores are few.
    os.nice(10)
    hide_environment(os.environ)

    def warn(text: str) -> None:
        channel.sendall(text.encode() + b"\n")

    with (run / FOLDER / f"{name}.lock").open("w") as lock:
        # The process of an attempt that was killed may be sending the rest.
        fcntl.flock(lock, fcntl.LOCK_EX)
        feed = Feed(run, name, importlib.import_module(module).open_tracker, warn)
        feed.sync()
        while not end.over.wait(POLL_S):
            feed.sync()
        feed.close(end.done)


class _End:
    """The end of the run, which a thread of its own waits for.

    Attributes:
        over: it is there.
        done: the run has then done all its work.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.over, self.done = Event(), False
        self._channel = channel
        Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        with suppress(OSError):
            self.done = self._channel.recv(len(DONE)) == DONE
        self.over.set()
        time.sleep(END_S)
        print(f"not everything was sent within {END_S:g} s of the end of the run", file=sys.stderr, flush=True)
        os._exit(1)


def _take_channel() -> socket.socket:
    """The socket that is the standard input, in whose place then is nothing; what is printed goes to the log."""
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return channel


if __name__ == "__main__":
    main()
