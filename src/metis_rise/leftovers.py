"""What a kill leaves of a write or of a deletion, removed by the next attempt.

`.NAME.PID.tmp` is a file that was being written, `.NAME.writing` a folder that was, `.NAME.retired` the one whose place
it was taking, which is put back where that was not done; `.NAME.deleted` one that was being deleted.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

_FILE = re.compile(r"\..+\.(\d+)\.tmp")
_FOLDER = re.compile(r"\..+\.(writing|retired)")


def remove_leftovers(folder: Path) -> int:
    """Deletes what is half written below `folder`, whose lock this process holds; how many there were.

    Files of a process that is there stay: `rise report` writes its page without the lock.
    """
    removed = int(_remove(_trash(folder)))
    for place, folders, files in os.walk(folder):
        half = [name for name in folders if _FOLDER.fullmatch(name) and not Path(place, name).is_symlink()]
        for name in half:
            _settle(Path(place, name))
            folders.remove(name)
            removed += 1
        for name in files:
            found = _FILE.fullmatch(name)
            if found and not _runs(int(found[1])):
                Path(place, name).unlink(missing_ok=True)
                removed += 1
    return removed


def delete_folder(path: Path) -> None:
    """Deletes a folder, if it is there; renamed first, so that a kill never leaves half of it under its name."""
    trash = _trash(path)
    _remove(trash)
    if path.exists():
        os.replace(path, trash)
        _remove(trash)


def _trash(path: Path) -> Path:
    return path.with_name(f".{path.name}.deleted")


def _remove(path: Path) -> bool:
    """Deletes a folder; whether it was there."""
    if there := path.exists():
        shutil.rmtree(path)
    return there


def _settle(path: Path) -> None:
    """Puts a folder back that was to be replaced and never was; deletes any other."""
    name, _, kind = path.name[1:].rpartition(".")
    place = path.with_name(name)
    if kind == "retired" and not place.exists():
        os.replace(path, place)
    else:
        shutil.rmtree(path)


def _runs(process: int) -> bool:
    """Whether another process of this number is on this machine, whoever it belongs to."""
    if process == os.getpid():
        # In a container each attempt may have the same one; this one writes nothing yet.
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
