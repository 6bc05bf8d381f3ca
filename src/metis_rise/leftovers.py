"""What a kill leaves of a write or of a deletion, removed by the next attempt.

`.NAME.PID.tmp` is a file that was being written, `.NAME.writing` and `.NAME.retired` a folder that was being replaced,
`.NAME.deleted` one that was being deleted.
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
    removed = 0
    for place, folders, files in os.walk(folder):
        half = [name for name in folders if _FOLDER.fullmatch(name) and not Path(place, name).is_symlink()]
        for name in half:
            shutil.rmtree(Path(place, name))
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
    trash = path.with_name(f".{path.name}.deleted")
    if trash.exists():
        shutil.rmtree(trash)
    if path.exists():
        os.replace(path, trash)
        shutil.rmtree(trash)


def _runs(process: int) -> bool:
    """Whether a process of this number is on this machine, whoever it belongs to."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
