"""Where the rows of a problem file come from: JSONL here, other tools' files in the room `foreign`."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.json_text import parse_json
from metis_rise.problems.row import Row

_SPOOL = ".spool-"
# Some editors begin a UTF-8 file with it.
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class RowSource:
    """The rows of a file: numbered as the file holds them, and what makes a Row of one.

    `read` raises a RowFault for a row that is none; the rows after it can be read all the same.
    """

    raw: Iterable[tuple[int, Any]]
    read: Callable[[int, Any], Row]


class Spool:
    """Pictures that lie inside of a file, written out by their hash until they are in a store."""

    def __init__(self, beside: Path) -> None:
        """A folder in `beside` is made for the first picture, and is gone after `close`."""
        self._beside = beside
        self._folder: Path | None = None

    def put(self, data: bytes) -> Path:
        """The file that now holds `data`, under the hash of it."""
        if self._folder is None:
            self._beside.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=_SPOOL, dir=self._beside))
        path = self._folder / hashlib.sha256(data).hexdigest()
        if not path.exists():
            path.write_bytes(data)
        return path

    def close(self) -> None:
        """Deletes the pictures."""
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    @staticmethod
    def holds(path: Path) -> bool:
        """Whether a file is in some spool, so that its name tells nobody which picture it was."""
        return path.parent.name.startswith(_SPOOL)


Opener = Callable[[Path, Spool], RowSource]
"""Opens a problem file; what lies inside of it as bytes goes into the spool. InputError where there is no such file."""


def jsonl_source(path: Path, spool: Spool | None = None) -> RowSource:
    """A JSONL file of our own schema (docs/data.md), whose pictures are files: nothing is spooled."""
    return RowSource(jsonl_lines(path), lambda number, line: jsonl_row(path, number, line))


def jsonl_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers; blank ones are skipped."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                bare = line.removeprefix(_MARK) if number == 1 else line
                if bare.strip():
                    yield number, bare
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give the path of a JSONL file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder; give the path of the JSONL file in it") from None
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read ({error.strerror}); give a readable JSONL file") from error


def jsonl_row(path: Path, number: int, line: bytes) -> Row:
    """The JSON object in a line. Raises RowFault for anything else."""
    blank, mend = Row(path, number, {}), "write one JSON object per line, in UTF-8"
    try:
        value = parse_json(line.decode(), strict=True)
        if b"\\u" in line:
            # Half a pair of surrogates can be written as an escape alone.
            json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise blank.fault(f"not UTF-8 ({error.reason})", mend, "not UTF-8") from error
    except ValueError as error:
        raise blank.fault(f"not JSON ({error})", mend, "not JSON") from error
    if not isinstance(value, dict):
        raise blank.fault("not a JSON object", mend)
    return replace(blank, record=value)
