"""Rows of parquet files and of data sets that `datasets` saved, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError

AT_ONCE = 16
"""Rows that are read together: with pictures inside, a row may have megabytes."""

TableRow = tuple[int, tuple[Path, dict[str, Any]]]
"""A row's number in its file, from 1; the file, and the row with pictures as {"bytes", "path"}."""

_BUFFER_BYTES = 1 << 20
_INSTALL = "pip install 'metis-rise[data]'"


def parquet_rows(files: Sequence[Path]) -> Iterator[TableRow]:
    """The rows of parquet files. Raises InputError for a file that is none, and without pyarrow."""
    parquet, fault = _pyarrow(files[0])
    for path in files:
        # Read in pieces: a file may be one group of rows, which would be held in memory as a whole.
        with (
            _named(path, "parquet", fault),
            parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file,
        ):
            batches = file.iter_batches(batch_size=AT_ONCE, use_threads=False)
            for number, record in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
                yield number, (path, record)


def count_parquet(files: Sequence[Path]) -> int:
    """The number of rows in parquet files, by what is written at their ends. Raises InputError as `parquet_rows`."""
    parquet, fault = _pyarrow(files[0])
    rows = 0
    for path in files:
        with _named(path, "parquet", fault):
            rows += int(parquet.read_metadata(path).num_rows)
    return rows


def saved_rows(folder: Path) -> Iterator[TableRow]:
    """The rows of a folder that `Dataset.save_to_disk` wrote. Raises InputError as `parquet_rows` does."""
    try:
        import datasets
        from pyarrow import ArrowException
    except ImportError as error:
        raise InputError(f"{folder}: folders saved by datasets need that package: {_INSTALL}") from error
    with _named(folder, "a saved data set", ArrowException):
        # In arrow's form pictures are not decoded, and a column of class numbers keeps its numbers.
        batches = datasets.load_from_disk(str(folder)).with_format("arrow").iter(AT_ONCE)
        for number, record in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
            yield number, (folder, record)


def _pyarrow(path: Path) -> tuple[Any, type[Exception]]:
    """The module that reads parquet files, and what it raises."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(f"{path}: parquet files need pyarrow: {_INSTALL}") from error
    return parquet, ArrowException


@contextmanager
def _named(path: Path, kind: str, arrow: type[Exception]) -> Iterator[None]:
    """Says of which file it is what goes wrong while it is read."""
    try:
        yield
    except (arrow, OSError, ValueError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: cannot be read as {kind} ({why}); download or write it again") from error
