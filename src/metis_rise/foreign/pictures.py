"""The pictures of a row: bytes inside of its file, or names of files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metis_rise.problems.paths import PathFault, find_file
from metis_rise.problems.row import Row
from metis_rise.problems.sources import Spool

COLUMNS = ("images", "image", "decoded_image", "file_name")
"""Columns of pictures, looked at in this order; one that holds the bytes goes before one that holds a name."""

_FILMS = ("videos", "audios")
# How the parts of a chat and the lists of verl name a file.
_NAMES = ("path", "image", "url", "file_name")


def find_pictures(raw: Row, in_chat: Sequence[Any], spool: Spool) -> tuple[Path, ...]:
    """The files of a row's pictures, those inside of its own file put into `spool`.

    Args:
        raw: the row as its file holds it.
        in_chat: the pictures that its chat holds; where there are any, no column is looked at.
        spool: where pictures that lie inside of the file become files.

    Raises:
        RowFault: films or sound, no such file, or a file outside of the folder of the problem file.
    """
    for name in _FILMS:
        if raw.record.get(name):
            raise raw.fault(f"{name} cannot be read", "leave such rows out with --skip-bad", f"{name} in a row")
    values = list(in_chat) or _of_columns(raw.record)
    return tuple(_file(raw, value, spool) for value in values)


def holds_bytes(value: Any) -> bool:
    """Whether bytes lie anywhere in a value."""
    if isinstance(value, dict):
        return any(map(holds_bytes, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds_bytes, value))
    return isinstance(value, bytes)


def _of_columns(record: Any) -> list[Any]:
    columns = [record[name] for name in COLUMNS if record.get(name)]
    chosen = next(filter(holds_bytes, columns), columns[0] if columns else [])
    values = chosen if isinstance(chosen, list) else [chosen]
    return [value for value in values if value is not None]


def _file(raw: Row, value: Any, spool: Spool) -> Path:
    name = value
    if isinstance(value, dict):
        if isinstance(data := value.get("bytes"), bytes):
            return spool.put(data)
        name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None)
    if isinstance(value, bytes):
        return spool.put(value)
    if not isinstance(name, str) or not name.strip():
        what = "a picture is neither bytes nor the name of a file"
        raise raw.fault(what, "write pictures as datasets does, or their paths")
    try:
        return find_file(raw.path if raw.path.is_dir() else raw.path.parent, name.removeprefix("file://"))
    except PathFault as error:
        raise raw.fault(error.what, error.mend, error.reason) from error
