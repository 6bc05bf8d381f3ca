"""Which file is opened by what: the one door to problem files in whatever form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.foreign import tables
from metis_rise.foreign.fields import is_foreign, translate
from metis_rise.json_text import parse_json
from metis_rise.problems.row import Row, RowFault
from metis_rise.problems.sources import RowSource, Spool, jsonl_row, jsonl_source

FORMS = "a .jsonl, .json or .parquet file, several such as data/train-*.parquet, or a folder saved by datasets"
_WILD = frozenset("*?[")
_METADATA = "metadata.jsonl"
# What the name of one file of several has after the name of the whole.
_SHARDS = re.compile(r"(-\d{5}-of-\d{5}(-[0-9a-f]{16})?|[-_.]?[*?\[].*)?\.parquet$")
# Shards may also have a bare number.
_NUMBER = re.compile(r"[-_.]?\d+$")


def open_rows(path: Path, spool: Spool) -> RowSource:
    """The rows of a problem file: our own JSONL, or what docs/data.md lists under "Other tools' files".

    Args:
        path: a file, a folder, or a pattern of files in one folder.
        spool: takes the pictures that lie inside of it.

    Raises:
        InputError: nothing is there, or nothing that can be read, or the package that reads it is not installed.
    """
    if path.is_dir():
        return _open_folder(path, spool)
    if path.suffix == ".parquet":
        return _table_source(_SHARDS.sub("", path.name) or path.stem, tables.parquet_rows(_matching(path)), spool)
    if path.suffix == ".json":
        items = _json_items(path)
        return _table_source(path.stem, ((number, (path, item)) for number, item in items), spool)
    return _open_lines(path, spool)


def is_there(path: Path) -> bool:
    """Whether there is what `open_rows` would open, or something of that name that it would refuse."""
    return path.exists() or bool(_WILD.intersection(path.name) and any(path.parent.glob(path.name)))


def count_rows(path: Path, spool: Spool) -> int:
    """How many rows a problem file has, bad ones too: of parquet by its footer. Raises InputError as `open_rows`."""
    if path.suffix == ".parquet" and not path.is_dir():
        return tables.count_parquet(_matching(path))
    return sum(1 for _ in open_rows(path, spool).raw)


def _open_folder(folder: Path, spool: Spool) -> RowSource:
    if (folder / "dataset_dict.json").is_file():
        names = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir()))
        raise InputError(f"{folder}: holds several splits ({names}); name one of them, such as {folder}/train")
    if (folder / "state.json").is_file():
        return _table_source(folder.name, tables.saved_rows(folder), spool)
    if (folder / _METADATA).is_file():
        return _open_lines(folder / _METADATA, spool, foreign=True)
    if shards := sorted(folder.glob("*.parquet")):
        _check_one_set(folder, shards)
        return _table_source(folder.name, tables.parquet_rows(shards), spool)
    raise InputError(f"{folder}: this is a folder with no problems that can be read; give {FORMS}")


def _check_one_set(folder: Path, files: Sequence[Path]) -> None:
    """Refuse files that are not shards of one set: a test split would be trained on."""
    sets = {_NUMBER.sub("", _SHARDS.sub("", file.name)): file.name for file in files}
    if len(sets) > 1:
        stem = "train" if "train" in sets else min(sets)
        example = f"{stem}-*.parquet" if sets[stem].startswith(f"{stem}-") else sets[stem]
        names = ", ".join(sorted(sets))[:200]
        raise InputError(
            f"{folder}: holds several sets of parquet files ({names}); name one, such as {folder}/{example}"
        )


def _matching(path: Path) -> list[Path]:
    """The file, or those that a pattern in its name stands for."""
    if path.is_file():
        return [path]
    found = sorted(path.parent.glob(path.name)) if _WILD.intersection(path.name) else []
    if not found:
        raise InputError(f"{path}: there is no such file; give {FORMS}")
    return found


def _table_source(family: str, rows: Iterable[tuple[int, tuple[Path, Any]]], spool: Spool) -> RowSource:
    """A source of rows that are translated; `family` is the name of the whole, which files may be shards of."""

    def read(number: int, raw: tuple[Path, Any]) -> Row:
        path, record = raw
        if not isinstance(record, dict):
            raise Row(path, number, {}).fault("not an object", "write an object with a question and an answer")
        return translate(Row(path, number, record), family, spool)

    return RowSource(rows, read)


def _open_lines(path: Path, spool: Spool, *, foreign: bool = False) -> RowSource:
    """JSON lines; each is of our own schema unless `foreign`, or it or the first one says otherwise."""
    lines = iter(jsonl_source(path).raw)
    first = next(lines, None)
    translated = foreign or (first is not None and _starts_foreign(path, *first))

    def read(number: int, line: bytes) -> Row:
        row = jsonl_row(path, number, line)
        return translate(row, path.stem, spool) if translated or is_foreign(row.record) else row

    return RowSource(chain([] if first is None else [first], lines), read)


def _starts_foreign(path: Path, number: int, line: bytes) -> bool:
    try:
        return is_foreign(jsonl_row(path, number, line).record)
    except RowFault:
        return False


def _json_items(path: Path) -> Iterator[tuple[int, Any]]:
    """The items of a JSON list, counted from 1."""
    try:
        value = parse_json(path.read_bytes(), strict=True)
        json.dumps(value, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give {FORMS}") from None
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read ({error.strerror}); give a readable file") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); write a list of objects, or one object per line") from error
    if not isinstance(value, list):
        raise InputError(f"{path}: not a list; write a list of objects, or one object per line into a .jsonl file")
    yield from enumerate(value, 1)
