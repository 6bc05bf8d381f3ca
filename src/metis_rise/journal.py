"""Files that are whole or absent, and journals that only grow, whatever kills the process.

A journal's line ends in the CRC-32 of what stands before it: {"problem_id": ..., "crc32": "9ae0daaf"}. What was changed
or damaged on disk is found when it is read. Lines of versions that wrote none are read as they are.
"""

from __future__ import annotations

import codecs
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

from metis_rise.disk import writing
from metis_rise.errors import InputError
from metis_rise.json_text import MAX_DEPTH, parse_json
from metis_rise.terminal import say

_BLOCK = 1 << 16
# What was read from others is written within rows of ours: a field that we do not know goes into a problem's meta.
_MAX_DEPTH = MAX_DEPTH + 4
_MARK = b'"crc32": "'
_MARKED = len(_MARK) + len('01234567"}')
# A server that is taken out is noted from another thread than the one that writes what was sampled.
_APPENDING = Lock()
_MEND = "restore the file from a copy, or delete this line; `rise check RUN` finds all such lines of a run"


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` so that a reader, or a crash, sees the old file or the new one and nothing between.

    Makes the parent folders. Text is written as UTF-8.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]], *, checked: bool = True) -> None:
    """Write one JSON line per row, the whole file or nothing, with `write_atomic`.

    Without `checked` lines have no checksum: files that other programs are to read.

    Raises:
        ValueError: a row holds NaN or an infinity, which JSON has no word for.
    """
    line = json_line if checked else _plain_line
    write_atomic(path, b"".join(line(row) for row in rows))


def append_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append one JSON line per row and sync; a torn last line left by a crash is cut off first.

    Makes the parent folders. Threads of one process may append to one file.

    Raises:
        ValueError: a row holds NaN or an infinity, which JSON has no word for.
    """
    data = b"".join(json_line(row) for row in rows)
    with _APPENDING, writing(path):
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
        InputError: the file is not there; or a line other than a torn last one is no JSON object, is not what its
            checksum says, or has none although a line before it has.
    """
    return [row for _, row in stream_jsonl(path)]


def stream_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a journal one after another, as `read_jsonl` has them, each with the byte that its line starts at.

    Raises:
        InputError: as `read_jsonl`, when the fault is met.
    """
    for number, start, size, row, fault, torn, _ in _scan(path):
        if row is not None:
            yield start, row
        elif torn:
            say(f"note: {path} row {number}: torn last line dropped ({size} bytes)", aside=True)
        else:
            raise InputError(f"{path} row {number}: {fault}; {_MEND}")


class Line(NamedTuple):
    """One line of a journal as it was found.

    number: its row, from 1. start, size: where it lies, in bytes. row: what it holds, None with a fault.
    fault: what is wrong with it. torn: it is the last one and was cut off by a crash. checked: it has a checksum.
    """

    number: int
    start: int
    size: int
    row: dict[str, Any] | None
    fault: str
    torn: bool
    checked: bool


def scan_jsonl(path: Path) -> Iterator[Line]:
    """All lines of a journal but blank ones, faulty ones too.

    Raises:
        InputError: the file cannot be read.
    """
    return (Line(*found) for found in _scan(path))


def _scan(path: Path) -> Iterator[tuple[int, int, int, dict[str, Any] | None, str, bool, bool]]:
    """The values of `Line`, in plain tuples: this is the inner loop of whoever reads trajectories."""
    start, checked = 0, False
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                row, fault, has_sum = _parse(line)
                torn = row is None and not line.endswith(b"\n")
                if checked and not fault and not has_sum:
                    row, fault = None, "has no checksum, though lines before it have one"
                checked = checked or has_sum
                if row is not None or line.strip():
                    yield number, start, len(line), row, fault, torn, has_sum
                start += len(line)
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from error


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The row that a journal's line holds, None where the line is damaged."""
    return _parse(line)[0]


def json_line(row: Mapping[str, Any]) -> bytes:
    """One line of a journal, checksum and newline included.

    Raises:
        ValueError: NaN or an infinity.
    """
    body = _plain_line(row)[: -len(b"}\n")]
    comma = b"" if body == b"{" else b", "
    return b"".join((body, comma, _MARK, b"%08x" % zlib.crc32(body), b'"}\n'))


def parse_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object that `line` holds, None where it holds anything else."""
    try:
        # Of bytes the encoding would be guessed first, which takes longer than the checksum.
        text = line if line.startswith(codecs.BOM_UTF8) else line.decode()
        value = parse_json(text, strict=True, depth=_MAX_DEPTH)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _plain_line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def _parse(line: bytes) -> tuple[dict[str, Any] | None, str, bool]:
    """What a line holds, else what is wrong with it, and whether it has a checksum."""
    line = line.rstrip()
    end = len(line) - _MARKED
    checked = end > 0 and line.startswith(_MARK, end)
    if checked:
        body = line[:end].removesuffix(b", ")
        if line[end + len(_MARK) :] != b'%08x"}' % zlib.crc32(body):
            return None, "is not what its checksum says: it was changed or damaged after it was written", True
        line = body + b"}"
    row = parse_object(line)
    return row, "not a JSON object" if row is None else "", checked


def _seek_to_end_of_lines(file: BinaryIO) -> None:
    """Leave `file` where a new line may start: a torn tail is cut off, a whole row without newline gets one."""
    end = file.seek(0, os.SEEK_END)
    start, tail = end, b""
    while start and b"\n" not in tail:
        size = min(_BLOCK, start)
        start = file.seek(start - size)
        tail = file.read(size) + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    whole = parse_line(tail) is not None
    if tail and not whole:
        file.truncate(end - len(tail))
    file.seek(0, os.SEEK_END)
    if whole:
        file.write(b"\n")


def sync(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
