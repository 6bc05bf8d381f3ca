"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from metis_rise.disk import writing
from metis_rise.journal import sync


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to write into, which becomes `target` when the block ends without an exception.

    Everything is synced before the rename, so `target` never holds half of its files. A `target` that is there
    already is replaced; after a kill a leftover `.NAME.writing` lies beside it, which the next call removes.
    """
    temporary = target.parent / f".{target.name}.writing"
    retired = target.parent / f".{target.name}.retired"
    try:
        with writing(target):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            mode = temporary.stat().st_mode & 0o666
            for path in (*temporary.rglob("*"), temporary):
                if path.is_file():
                    # safetensors makes files that only their owner may read, whatever the umask says.
                    path.chmod(mode)
                sync(path)
            if target.exists():
                shutil.rmtree(retired, ignore_errors=True)
                target.rename(retired)
            temporary.rename(target)
            sync(target.parent)
    finally:
        if retired.exists() and not target.exists():
            retired.rename(target)
        # What is half written on a full disk would keep it full.
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(retired, ignore_errors=True)
