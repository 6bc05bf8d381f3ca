"""Folders for other tools, which appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metis_rise.disk import writing
from metis_rise.errors import InputError


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """The name of a folder to make and fill, which becomes `target` when the block ends without an exception.

    Raises:
        InputError: `target` exists.
    """
    if target.exists():
        raise InputError(f"{target}: exists; name a new folder with --to")
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
