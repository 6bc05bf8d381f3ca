"""The process that feeds one tracker: python -m metis_rise.tracking.process RUN NAME MODULE, run by `tracked`.

Trackers talk to networks, start threads, print, and ask for keys at the terminal. In a process of its own none of that
can stop, slow or end a run. It reads the run's folder every few seconds until its standard input, a socket, ends.
Whatever becomes of the run's process, it then sends the rest and ends too. What it writes to the socket are warnings.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import socket
import sys
from pathlib import Path
from threading import Timer

from metis_rise.redaction import hide_environment
from metis_rise.tracking.base import DONE, END_S, FOLDER
from metis_rise.tracking.feed import Feed

POLL_S = 5.0
"""Seconds between two looks at the run's folder."""


def main() -> None:
    """Feeds the tracker to the end of the run."""
    run, name, module = Path(sys.argv[1]), *sys.argv[2:]
    channel = _take_channel()
    hide_environment(os.environ)

    def warn(text: str) -> None:
        channel.sendall(text.encode() + b"\n")

    with (run / FOLDER / f"{name}.lock").open("w") as lock:
        # The process of an attempt that was killed may be sending the rest.
        fcntl.flock(lock, fcntl.LOCK_EX)
        feed = Feed(run, name, importlib.import_module(module).open_tracker, warn)
        done = _until_the_end(feed, channel)
        end = Timer(END_S, os._exit, [1])
        end.daemon = True
        end.start()
        feed.close(done)


def _take_channel() -> socket.socket:
    """The socket that is the standard input, in whose place then is nothing; what is printed goes to the log."""
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return channel


def _until_the_end(feed: Feed, channel: socket.socket) -> bool:
    """Feeds until the run is over; whether it has done all its work."""
    channel.settimeout(POLL_S)
    while True:
        feed.sync()
        try:
            return channel.recv(len(DONE)) == DONE
        except TimeoutError:
            continue
        except OSError:
            return False


if __name__ == "__main__":
    main()
