"""Files that data names: they lie in the data's own folder, and nothing is fetched."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

_ADDRESS = re.compile(r"(?i)([a-z][a-z0-9+.-]*://|data:)")
MISSING = "no such {} file"
"""The reason of a fault where nothing is there, with the kind of file."""
SHOWN = 80
"""So many characters of a name are shown in an error."""


class PathFault(Exception):
    """Why a name leads to no file.

    what: with the name, for people. reason: without it, for counting. mend: what to do.
    """

    def __init__(self, what: str, mend: str, reason: str) -> None:
        super().__init__(f"{what}; {mend}")
        self.what, self.mend, self.reason = what, mend, reason


def find_file(folder: Path, name: str, kind: str = "image") -> Path:
    """The file that `name` stands for, relative to `folder`.

    A data set may come from anywhere, so none of its names may lead out of its folder, not by `..`, not as an absolute
    path and not over a link: else it would decide which of this machine's files are read. Addresses are not fetched.

    Raises:
        PathFault: an address, a name that leads out of `folder`, no such file.
    """
    shown = repr(name if len(name) <= SHOWN else name[: SHOWN - 3] + "...")
    if _ADDRESS.match(name):
        mend = "download it, and write the path of the file"
        raise PathFault(f"{shown} is an address, and nothing is fetched", mend, f"{kind} is an address")
    path = folder / name
    try:
        there = path.is_file()
        inside = there and _inside(path, folder)
    except OSError:  # a name that is too long for the file system
        there = inside = False
    if not there:
        shown = str(path) if len(name) <= SHOWN else shown
        what = f"there is no {kind} file {shown}"
        raise PathFault(what, f"paths are relative to {folder}", MISSING.format(kind))
    if not inside:
        what = f"{kind} file {path} is outside of {folder}"
        raise PathFault(
            what, "copy it into that folder; links out of it are not followed", f"{kind} outside the folder"
        )
    return path


def _inside(path: Path, folder: Path) -> bool:
    """Whether the file at `path` lies in `folder`, all links followed."""
    parent = os.path.dirname(os.path.realpath(path)) if path.is_symlink() else _real(path.parent)
    root = _real(folder)
    return parent == root or parent.startswith(os.path.join(root, ""))


def _real(folder: Path) -> str:
    return _without_links(os.path.join(os.getcwd(), folder))


@lru_cache(maxsize=1024)
def _without_links(folder: str) -> str:
    """Following links takes ten looks at the disk, and data sets name a hundred thousand files of few folders."""
    return os.path.realpath(folder)
