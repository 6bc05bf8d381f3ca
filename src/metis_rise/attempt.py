"""The log of one attempt at a run: FOLDER/logs/0001.txt and so on, beside the log.txt that goes on through all.

What the run says, what libraries warn of, and what ended it, with the traceback of what was nobody's input. Before the
run's folder is in its place, lines wait in memory; a run that is refused leaves none.
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging.handlers import MemoryHandler
from pathlib import Path

from metis_rise import __version__
from metis_rise.errors import InputError
from metis_rise.redaction import hide_environment, redacted
from metis_rise.terminal import say

FOLDER = "logs"
RUN = "metis_rise.run"
"""Name of the logger of what a run says. Terminal and log.txt have it too, by `Run.log`."""

log = logging.getLogger(RUN)
log.setLevel(logging.DEBUG)
# So that nothing is printed by logging's last resort where no attempt is recorded.
log.addHandler(logging.NullHandler())

_MANY = 100_000
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def recorded() -> Iterator[Callable[[Path], None]]:
    """Records until the end of the block; the run's folder is to be given as soon as it is there.

    What leaves the block by an exception is noted and goes on.
    """
    hide_environment(os.environ)
    # Never flushed by itself: there is no file at first.
    waiting = MemoryHandler(_MANY, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
    root, terminal = logging.getLogger(), _terminal()
    for handler in (waiting, terminal):
        root.addHandler(handler)
    handlers: list[logging.Handler] = [waiting, terminal]

    def begin(folder: Path) -> None:
        file = _file(folder)
        handlers.append(file)
        root.addHandler(file)
        root.removeHandler(waiting)
        waiting.setTarget(file)
        waiting.flush()

    log.info("%s", _heading())
    try:
        yield begin
        log.info("ended")
    except KeyboardInterrupt:
        log.warning("interrupted")
        raise
    except InputError as error:
        log.error("%s", error)
        raise
    except Exception:
        log.exception("ended by an unexpected error")
        raise
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            if handler is not terminal:
                handler.close()


def _terminal() -> logging.Handler:
    """What logging does where nobody has set it up, which other handlers would end: warnings are printed."""
    handler = _Terminal()
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: record.name != RUN)
    return handler


class _File(logging.FileHandler):
    """A log that a failing disk makes incomplete, which is said once; the work goes on as far as it can."""

    _failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._failed:
            self._failed = True
            say(f"note: {self.baseFilename}: {error.strerror}; this log lacks lines", warning=True, aside=True)

    def close(self) -> None:
        # What could not be written is tried once more, and was told before.
        with suppress(OSError):
            super().close()


class _Terminal(logging.Handler):
    """Says warnings of libraries, clear of what is drawn on the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        say(redacted(self.format(record)), warning=True, aside=True)


def _file(folder: Path) -> logging.FileHandler:
    """A new file after those that are there."""
    home = folder / FOLDER
    home.mkdir(exist_ok=True)
    numbers = [int(path.stem) for path in home.glob("[0-9]*.txt") if path.stem.isdecimal()]
    handler = _File(home / f"{max(numbers, default=0) + 1:04}.txt", mode="x", encoding="utf-8")
    handler.setFormatter(_Formatter(_FORMAT))
    return handler


class _Formatter(logging.Formatter):
    """Times as in log.txt, and no keys."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def _heading() -> str:
    # Each argument for itself: quoting may change a key in it.
    line = shlex.join(map(redacted, sys.argv))
    return f"metis-rise {__version__}, process {os.getpid()} on {socket.gethostname()}: {line}"
