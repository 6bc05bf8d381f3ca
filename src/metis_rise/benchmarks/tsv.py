"""VLMEvalKit's data files: tab-separated, quoted as pandas quotes, pictures as base64 in the column `image`.

Read row by row, so that a file of any size takes the memory of its largest row. Layout: VLMEvalKit `image_base.py`.
"""

from __future__ import annotations

import base64
import binascii
import csv
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from metis_rise.benchmarks.base import Row
from metis_rise.errors import InputError

INDEX = "index"
IMAGE = "image"

MAX_CELL = 1 << 27
"""Characters of the largest cell that is read: 96 MiB of picture."""

MAX_INDEX = 64
"""Characters of the longest index."""

MAX_REFERENCE = 64
"""A cell of at most so many characters in the column `image` is the index of the row that holds the picture."""

_WHOLE = re.compile(r"([+-]?[0-9]{1,18})(\.0*)?")
_DATA_URI = re.compile(r"data:[^,]{0,100},")


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a file and what stands in its picture column, None where the file has no such column."""

    row: Row
    picture: str | None


def normal_index(cell: str) -> str:
    """An index as both sides of a join write it: without blanks, and "17" for "017" and for pandas' "17.0"."""
    text = cell.strip()
    whole = _WHOLE.fullmatch(text)
    return str(int(whole[1])) if whole else text


def columns(path: Path, delimiter: str = "\t") -> tuple[str, ...]:
    """The names in the first line. Raises InputError for an unreadable or empty file, or a name that comes twice."""
    with closing(_cells(path, delimiter)) as rows:
        names = tuple(name.strip() for name in next(rows, ()))
    if not names:
        raise InputError(f"{path}: the file is empty; the first line names the columns")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: the column {twice[0]!r} comes twice in the first line; remove one of the two")
    return names


def check_columns(path: Path, have: Sequence[str], need: Sequence[str]) -> None:
    """Raises InputError, naming each missing column and the nearest one that is there."""
    missing = [name for name in need if name not in have]
    if missing:
        near = [(name, get_close_matches(name, have, n=1)) for name in missing]
        named = ", ".join(repr(name) + (f" (there is {found[0]!r})" if found else "") for name, found in near)
        shown = ", ".join(map(repr, have[:20]))[:400]
        raise InputError(f"{path}: no column {named}; the file has {shown}; name the columns as VLMEvalKit does")


def lines(path: Path) -> Iterator[Line]:
    """The rows of a file, their cells without the picture.

    Raises:
        InputError: no column `index`, an empty or repeated index, a row with more or fewer cells than the first line,
            a cell above `MAX_CELL`, a file that cannot be read or is not UTF-8.
    """
    names = columns(path)
    check_columns(path, names, (INDEX,))
    seen: dict[str, int] = {}
    for number, cells in records(path):
        index = normal_index(cells[INDEX])
        place = f"{path} row {number}"
        if not index or len(index) > MAX_INDEX or not index.isprintable():
            raise InputError(f"{place}: the index is {index[:MAX_INDEX]!r}; write a short one, of each row its own")
        if index in seen:
            raise InputError(f"{place}: index {index!r} is already used in row {seen[index]}; remove one of the two")
        seen[index] = number
        picture = cells.pop(IMAGE, None)
        cells[INDEX] = index
        yield Line(Row(index, cells, f"{place} index {index}"), None if picture is None else picture.strip())


def records(path: Path, delimiter: str = "\t") -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of any file of cells (TSV, or CSV by its `delimiter`) by column, numbered from 1 below the first line.

    Raises:
        InputError: as `lines`, but for what is said of the index.
    """
    names = columns(path, delimiter)
    with closing(_cells(path, delimiter)) as rows:
        next(rows)
        for number, cells in enumerate(rows, 1):
            if len(cells) != len(names):
                what = f"{len(cells)} cells where the first line has {len(names)}"
                raise InputError(f"{path} row {number}: {what}; the file is torn or badly quoted, get it again")
            # pandas writes the numbers of its rows in a column without a name
            yield number, {name: cell for name, cell in zip(names, cells, strict=True) if name}


def reference(picture: str) -> str | None:
    """The index of the row that holds the picture, None where the cell holds it itself."""
    return normal_index(picture) if len(picture) <= MAX_REFERENCE else None


def resolve(pictured: Mapping[str, str], index: str) -> str | None:
    """Why the reference in row `index` leads nowhere, None where it leads to a row that holds a picture.

    Args:
        pictured: of every row, the index that its picture column refers to, "" where it holds the picture itself.
        index: the row that refers.
    """
    target = pictured[index]
    if target not in pictured:
        return f"refers to the picture of index {target!r}, which is not in the file"
    if pictured[target]:
        return f"refers to the picture of index {target!r}, which refers on to {pictured[target]!r}"
    return None


def pictures(line: Line) -> list[bytes]:
    """The picture files in a row's cell, one or a list of them. Raises InputError where the cell is not base64."""
    cell = line.picture or ""
    parts = cell[1:-1].split(",") if cell.startswith("[") and cell.endswith("]") else [_DATA_URI.sub("", cell, count=1)]
    return [_decoded(part.strip().strip("'\""), line.row) for part in parts]


def _decoded(text: str, row: Row) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{row.place}: column {IMAGE!r} is not base64 ({error}); get the file again") from error


def _cells(path: Path, delimiter: str) -> Generator[list[str]]:
    """The cells of every line that is not blank, the first one included; what reading raises names file and row."""
    number = 0
    # The module has one limit for the whole process; the default is too small for any picture.
    csv.field_size_limit(MAX_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for cells in csv.reader(file, delimiter=delimiter, strict=True):
                if cells:
                    yield cells
                    number += 1
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give the path of a TSV file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a TSV file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} row {number}: not UTF-8 ({error.reason}); save the file as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path} row {number}: not quoted as pandas quotes ({error}); get the file again") from error
