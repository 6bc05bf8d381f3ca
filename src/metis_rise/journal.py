"""Files that are whole or absent, and journals that only grow, whatever kills the process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from tqdm import tqdm

from metis_rise.errors import InputError

_BLOCK = 1 << 16
# A server that is taken out is noted from another thread than the one that writes what was sampled.
_APPENDING = Lock()


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` so that a reader, or a crash, sees the old file or the new one and nothing between.

    Makes the parent folders. Text is written as UTF-8.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON line per row, the whole file or nothing, with `write_atomic`.

    Raises:
        ValueError: a row holds NaN or an infinity, which JSON has no word for.
    """
    write_atomic(path, b"".join(json_line(row) for row in rows))


def append_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append one JSON line per row and sync; a torn last line left by a crash is cut off first.

    Makes the parent folders. Threads of one process may append to one file.

    Raises:
        ValueError: a row holds NaN or an infinity, which JSON has no word for.
    """
    data = b"".join(json_line(row) for row in rows)
    with _APPENDING:
        _append(path, data)


def _append(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("ab" if new else "r+b") as file:
        if not new:
            _seek_to_end_of_lines(file)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if new:
        sync(path.parent)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a journal. A torn last line is left out, with a note on the terminal; blank lines are skipped.

    Raises:
        InputError: the file is not there, or a line other than a torn last one is no JSON object.
    """
    return [row for _, row in stream_jsonl(path)]


def stream_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a journal one after another, as `read_jsonl` has them, each with the byte that its line starts at.

    Raises:
        InputError: as `read_jsonl`, when the fault is met.
    """
    start = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                row = parse_object(line) if line.strip() else None
                if row is not None:
                    yield start, row
                elif line.strip() and line.endswith(b"\n"):
                    raise InputError(f"{path} row {number}: not a JSON object; mend or delete this line")
                elif line.strip():
                    note = f"note: {path} row {number}: torn last line dropped ({len(line)} bytes)"
                    tqdm.write(note, file=sys.stderr)
                start += len(line)
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from error


def json_line(row: Mapping[str, Any]) -> bytes:
    """One line of a journal, newline included.

    Raises:
        ValueError: NaN or an infinity.
    """
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def parse_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object that `line` holds, None where it holds anything else."""
    try:
        value = json.loads(line)
    except ValueError:  # covers bad JSON and bad UTF-8
        return None
    return value if isinstance(value, dict) else None


def _seek_to_end_of_lines(file: BinaryIO) -> None:
    """Leave `file` where a new line may start: a torn tail is cut off, a whole row without newline gets one."""
    end = file.seek(0, os.SEEK_END)
    start, tail = end, b""
    while start and b"\n" not in tail:
        size = min(_BLOCK, start)
        start = file.seek(start - size)
        tail = file.read(size) + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    if tail and parse_object(tail) is None:
        file.truncate(end - len(tail))
    file.seek(0, os.SEEK_END)
    if tail and parse_object(tail) is not None:
        file.write(b"\n")


def sync(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
