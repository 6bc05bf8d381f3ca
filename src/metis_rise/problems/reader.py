"""Problems from a user's JSONL file (schema: docs/data.md) and to and from a run's own problem files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageError, ImageStore
from metis_rise.problems.prompt import arrange
from metis_rise.problems.row import Row
from metis_rise.run import write_jsonl
from metis_rise.types import Problem

PROGRESS_FROM = 500
"""Rows from which reading shows a progress bar."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A checked row whose pictures are not in the store yet."""

    row: Row
    problem: Problem
    pictures: tuple[Path, ...]


def read_problems(path: Path, store: ImageStore) -> list[Problem]:
    """The problems of a JSONL file, their pictures put into `store`.

    Every row is checked before the first picture is stored. Raises InputError, one line with file, row and mend.
    """
    drafts = [_draft(row) for row in _rows(path)]
    if not drafts:
        raise InputError(f"{path}: the file has no rows; write one JSON object per line")
    first_row: dict[str, int] = {}
    for draft in drafts:
        earlier = first_row.setdefault(draft.problem.id, draft.row.number)
        if earlier != draft.row.number:
            mend = "give every row an id of its own" if "id" in draft.row.record else "remove the repeated row"
            raise draft.row.fault(f"id {draft.problem.id!r} is already used in row {earlier}", mend)
    keys: dict[Path, str] = {}
    bar = tqdm(drafts, desc=f"pictures of {path.name}", unit="row", disable=len(drafts) <= PROGRESS_FROM)
    return [replace(draft.problem, images=_stored(draft, store, keys)) for draft in bar]


def dump_problems(problems: Sequence[Problem], path: Path) -> None:
    """Write `problems` to `path`, one `Problem.to_json` object per line, all or nothing."""
    write_jsonl(path, (problem.to_json() for problem in problems))


def load_problems(path: Path) -> list[Problem]:
    """The problems that `dump_problems` wrote. Raises InputError if the file is missing or was changed by hand."""
    problems = []
    for row in _rows(path):
        try:
            problems.append(Problem.from_json(row.record))
        except (KeyError, TypeError, ValueError) as error:
            mend = "start a new run, which writes the file anew"
            raise row.fault(f"not a problem of a run ({error})", mend) from error
    return problems


def _draft(row: Row) -> _Draft:
    row.check_fields()
    kind = row.answer_type()
    choices = row.choices(kind)
    meta = row.meta()
    pictures = row.images()
    try:
        question, order = arrange(row.question(), len(pictures))
    except ValueError as error:
        raise row.fault(str(error), "list every picture in images, or correct the marker") from error
    problem = Problem(
        id=row.id(),
        question=question,
        answer=row.answer(kind, choices),
        answer_type=kind,
        choices=choices,
        solution=row.solution(meta),
        source=row.text("source"),
        family=row.family(meta),
        meta=meta,
    )
    return _Draft(row, problem, tuple(pictures[index] for index in order))


def _stored(draft: _Draft, store: ImageStore, keys: dict[Path, str]) -> tuple[str, ...]:
    """The store's keys of a draft's pictures; `keys` remembers the files that are stored already."""
    for path in draft.pictures:
        if path not in keys:
            try:
                keys[path] = store.put(path.read_bytes())
            except ImageError as error:
                raise draft.row.fault(f"image file {path}", str(error)) from error
            except OSError as error:
                raise draft.row.fault(f"image file {path} cannot be read ({error.strerror})", "mend it") from error
    return tuple(keys[path] for path in draft.pictures)


def _rows(path: Path) -> Iterator[Row]:
    """The JSON objects of a file with their line numbers; blank lines are skipped."""
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give the path of a JSONL file of problems") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a folder; give the path of the JSONL file in it") from None
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read ({error.strerror}); give a readable JSONL file") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield Row(path, number, _object(path, number, line))


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    mend = "write one JSON object per line, in UTF-8"
    try:
        value = json.loads(line.decode(), parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise InputError(f"{path}, row {number}: not UTF-8 ({error.reason}); {mend}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}, row {number}: not JSON ({error}); {mend}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}, row {number}: not a JSON object; {mend}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
