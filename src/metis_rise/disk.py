"""Disks that fail: which file it was, what is wrong, and what mends it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AGAIN = "then run the same command again: it goes on from what is whole"
_MENDS = {
    errno.ENOSPC: "free space on this disk",
    errno.EDQUOT: "free some of your quota there",
    errno.EIO: "check this disk (the system's log says more) or copy the folder to another one",
    errno.EROFS: "make this file system writable or choose another folder",
    errno.EACCES: "give yourself the right to write there or choose another folder",
    errno.EPERM: "give yourself the right to write there or choose another folder",
}
# Libraries that collect or wrap errors have the number in their text only: shutil, and what is written in Rust.
_NUMBER = re.compile(r"(?:\[Errno |\(os error )(\d+)")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A failing disk in the block is an OSError of `path`, however it was met.

    What a failed write, sync or library raises names no file, or a temporary one.
    """
    try:
        yield
    except Exception as error:
        number = _number(error)
        if number not in _MENDS:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def disk_fault(error: BaseException) -> str | None:
    """What a failing disk is told by, in one line with the mend; None for other errors."""
    if not isinstance(error, OSError) or error.errno not in _MENDS or error.filename is None:
        return None
    # Of a rename the second one is what was to be made.
    file = error.filename if error.filename2 is None else error.filename2
    return f"{file}: {os.strerror(error.errno)}; {_MENDS[error.errno]}, {_AGAIN}"


def _number(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _NUMBER.search(str(error))
    return int(found[1]) if found else None
