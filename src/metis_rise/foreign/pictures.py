"""The pictures of a row: bytes inside of its file, or names of files beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metis_rise.problems.paths import PathFault, find_file
from metis_rise.problems.row import Row
from metis_rise.problems.sources import Spool

COLUMNS = ("images", "image", "decoded_image", "file_name")
"""Columns of pictures, looked at in this order; one that holds the bytes goes before one that holds a name."""

_NUMBERED = re.compile(r"image_(\d{1,2})")
_MAGIC = re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|BM|RIFF....WEBP|II\*\0|MM\0\*", re.DOTALL)
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
        RowFault: films or sound, no such file, a file outside of the folder of the problem file, or pictures only in
            columns that are not known as columns of pictures.
    """
    for name in _FILMS:
        if raw.record.get(name):
            raise raw.fault(f"{name} cannot be read", "leave such rows out with --skip-bad", f"{name} in a row")
    values = list(in_chat) or _of_columns(raw.record) or _numbered(raw.record)
    elsewhere = None if values else next((name for name in raw.record if _holds_picture(raw.record[name])), None)
    if elsewhere is not None:
        what = f"its picture is in the column {elsewhere[:60]!r}, which is not known"
        raise raw.fault(what, f"name its column {COLUMNS[0]}", "pictures in an unknown column")
    return tuple(_file(raw, value, spool) for value in values)


def holds_bytes(value: Any) -> bool:
    """Whether bytes lie anywhere in a value."""
    if isinstance(value, dict):
        return any(map(holds_bytes, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds_bytes, value))
    return isinstance(value, bytes)


def is_picture_column(name: str) -> bool:
    """Whether pictures are looked for in the column: one of COLUMNS, or `image_1`, `image_2` and so on (MMMU)."""
    return name in COLUMNS or _NUMBERED.fullmatch(name) is not None


def _holds_picture(value: Any) -> bool:
    if isinstance(value, dict | list | tuple):
        return any(map(_holds_picture, value.values() if isinstance(value, dict) else value))
    return isinstance(value, bytes) and _MAGIC.match(value) is not None


def _numbered(record: Mapping[str, Any]) -> list[Any]:
    found = {int(match[1]): record[name] for name in record if (match := _NUMBERED.fullmatch(name)) and record[name]}
    return [found[number] for number in sorted(found)]


def _of_columns(record: Mapping[str, Any]) -> list[Any]:
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
