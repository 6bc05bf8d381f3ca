"""Files of rows in whatever layout they were saved: tsv, csv, jsonl, and the ways in which JSON holds a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metis_rise.benchmarks import tsv
from metis_rise.errors import InputError
from metis_rise.journal import stream_jsonl
from metis_rise.json_text import parse_json

SUFFIXES = (".tsv", ".csv", ".json", ".jsonl")
MAX_BYTES = 1 << 30
"""A JSON file, which is read as a whole, may have so many."""
KEY = "\0key"
"""Where a record of a JSON object by index keeps its key; no column is called so."""

_SPREADSHEETS = (".xlsx", ".xls", ".pkl")
# One of these is a column in every table of predictions, and no index of a benchmark.
_COLUMN_NAMES = ("index", "prediction", "response")
_MEND = "save it as a list of objects, one for each row"

Record = Mapping[str, Any]
"""A row: texts by column, and from JSON any JSON value."""


def records(path: Path) -> Iterator[tuple[int, Record]]:
    """The rows of a file, numbered from 1.

    JSON may be a list of objects, an object of columns (pandas' default), pandas' `split`, or an object of objects by
    index, which then have their key in `KEY`.

    Raises:
        InputError: a format that is not read, a file that cannot be, or JSON that is no table.
    """
    suffix = path.suffix.lower()
    if suffix in _SPREADSHEETS:
        raise InputError(
            f"{path}: {suffix} is not read, and cuts cells at 32,767 characters; run VLMEvalKit with PRED_FORMAT=tsv, "
            f"or save the table as .tsv"
        )
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: files of this name are not read; known are {', '.join(SUFFIXES)}")
    if suffix == ".jsonl":
        return enumerate((row for _, row in stream_jsonl(path)), 1)
    if suffix == ".json":
        return enumerate(_rows(path, _parsed(path)), 1)
    return tsv.records(path, "," if suffix == ".csv" else "\t")


def cell(value: Any) -> str:
    """A JSON value as a data file has it: "" for null and NaN, lists and objects as JSON."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    # A lone surrogate, which JSON can hold, has no bytes in UTF-8.
    return str(value).encode("utf-8", "replace").decode()


def _parsed(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: more than {MAX_BYTES} bytes; save it as .jsonl or .tsv, which are read by row")
        return parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the path of a file of predictions"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); {_MEND}") from error


def _rows(path: Path, value: Any) -> Iterator[Record]:
    if isinstance(value, dict) and isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return _split(path, value["columns"], value["data"])
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return iter(value)
    if isinstance(value, dict) and value:
        if all(isinstance(each, list) for each in value.values()):
            return _columns(path, {name: dict(enumerate(each)) for name, each in value.items()})
        if all(isinstance(each, dict) for each in value.values()):
            return _columns(path, value) if any(name in value for name in _COLUMN_NAMES) else _by_index(value)
    raise InputError(f"{path}: the JSON is no table; {_MEND}")


def _split(path: Path, names: list[Any], rows: list[Any]) -> Iterator[Record]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(names):
            raise InputError(f"{path} row {number}: not one value for each of the {len(names)} columns; {_MEND}")
        yield dict(zip(map(str, names), row, strict=True))


def _columns(path: Path, columns: Mapping[str, Mapping[Any, Any]]) -> Iterator[Record]:
    keys = list(next(iter(columns.values())))
    for name, column in columns.items():
        if list(column) != keys:
            raise InputError(f"{path}: column {name!r} has other rows than the first one; {_MEND}")
    for key in keys:
        yield {name: column[key] for name, column in columns.items()}


def _by_index(rows: Mapping[str, Record]) -> Iterator[Record]:
    for key, row in rows.items():
        yield {KEY: key, **row}
