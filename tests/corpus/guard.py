"""Watches what a reader does: how long it takes, and where it writes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

# Of this process' own work, which a busy machine does not stretch; and as the clock goes, for what only waits.
SECONDS, WAITING = 5.0, 60.0
# What changes the file system: in what place of the event's arguments the paths are.
_CHANGES = {
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "shutil.rmtree": (0,),
}
_STARTS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec")
_REACHES = ("socket.connect", "socket.getaddrinfo")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_allowed: Path | None = None
_seen: list[str] = []


class Hang(BaseException):
    """No reader catches it."""


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _allowed is None:
        return
    # Our own helpers are Python without a shell.
    ours = event == "subprocess.Popen" and arguments[0] == sys.executable
    if (event in _STARTS and not ours) or event in _REACHES:
        _seen.append(f"{event} {arguments[:2]!r}")
    paths: list[object] = [arguments[place] for place in _CHANGES.get(event, ())]
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        # What is opened as a folder is a temporary file in it that has no name and leaves nothing behind.
        paths = [arguments[0]] if not os.path.isdir(str(arguments[0])) else []
    for path in paths:
        if isinstance(path, str | bytes | os.PathLike):
            # Resolved, so that a link in the run's folder is no way out of it.
            real = Path(os.path.realpath(os.fsdecode(path)))
            if not real.is_relative_to(_allowed) and real != Path(os.devnull):
                _seen.append(f"{event} {real}")


sys.addaudithook(_watch)


@contextmanager
def guarded(allowed: Path) -> Iterator[list[str]]:
    """Lists what the block does beyond reading and writing below `allowed`; raises `Hang` when it takes too long."""
    global _allowed

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang

    _seen.clear()
    before = [(each, signal.signal(each, ring)) for each in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    _allowed = allowed.resolve()
    try:
        yield _seen
    finally:
        _allowed = None
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        for each, handler in before:
            signal.signal(each, handler)
