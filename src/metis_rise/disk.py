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
}
# These are known to be of a write only in a `writing` block: files that are read have rights too.
_RIGHTS = (errno.EACCES, errno.EPERM)
_MEND_RIGHTS = "give yourself the right to write there or choose another folder"
# Libraries that collect or wrap errors have the number in their text only: shutil, and what is written in Rust.
_NUMBER = re.compile(r"(?:\[Errno |\(os error )(\d+)")


class WriteError(OSError):
    """A write that the disk, or its rights, did not let happen."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A failing disk in the block is a WriteError of `path`, however it was met.

    What a failed write, sync or library raises names no file, or a temporary one. An error of a file that lies
    elsewhere, as of one that is copied and may not be read, stays as it is.
    """
    try:
        yield
    except Exception as error:
        number = _number(error)
        if number is None or number not in (*_MENDS, *_RIGHTS) or _elsewhere(error, path):
            raise
        raise WriteError(number, os.strerror(number), str(path)) from error


def disk_fault(error: BaseException) -> str | None:
    """What a failing disk is told by, in one line with the mend; None for other errors."""
    if not isinstance(error, OSError) or error.errno is None or error.filename is None:
        return None
    # Of a rename the second one is what was to be made.
    file = error.filename if error.filename2 is None else error.filename2
    said = f"{file}: {os.strerror(error.errno)}"
    if error.errno in _RIGHTS and not isinstance(error, WriteError):
        return f"{said}; give yourself the right to use it"
    mend = _MEND_RIGHTS if error.errno in _RIGHTS else _MENDS.get(error.errno)
    return None if mend is None else f"{said}; {mend}, {_AGAIN}"


def _elsewhere(error: Exception, path: Path) -> bool:
    """Whether an error is of a file that is neither beside or below `path` nor a folder around it."""
    if not isinstance(error, OSError) or not isinstance(error.filename, str | os.PathLike):
        return False
    file, home = Path(error.filename).absolute(), path.absolute().parent
    return not (file.is_relative_to(home) or home.is_relative_to(file))


def _number(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _NUMBER.search(str(error))
    return int(found[1]) if found else None
