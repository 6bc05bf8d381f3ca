"""Journals of trajectories as a page needs them: a few problems of many, from files that may be larger than memory."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metis_rise.errors import InputError
from metis_rise.journal import parse_line
from metis_rise.types import Trajectory

MOST_BYTES = 400 << 20
"""Of RL's rollouts no more is read for one page: a long run has tens of gigabytes, and the page is written often."""

_PROBLEM = re.compile(rb'\{"problem_id": ("(?:[^"\\]|\\.)*")')


def rows_of(path: Path, wanted: Collection[str] | None = None) -> Iterator[dict[str, Any] | None]:
    """The rows of a journal in order: None for each that is not of the `wanted` problems, which is not parsed.

    A last line that a crash cut off is left out, and a file that is not there has no rows.

    Raises:
        InputError: another line is damaged.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if wanted is not None and (key := _problem_id(line)) is not None and key not in wanted:
                yield None
            elif line.strip():
                row = parse_line(line)
                if row is not None:
                    yield row if wanted is None or row.get("problem_id") in wanted else None
                elif line.endswith(b"\n"):
                    raise InputError(f"{path} row {number}: damaged; `rise check RUN` says what is wrong with it")


class Outcome(NamedTuple):
    """What a trajectory came to; `right` means right and well formed."""

    problem_id: str
    sample: int
    weights_version: int
    right: bool


def outcomes(path: Path) -> Iterator[Outcome]:
    """What the trajectories of a journal came to, without their texts; InputError where one is damaged."""
    for row in rows_of(path):
        assert row is not None, "all are wanted"
        found = Outcome(row.get("problem_id", ""), row.get("sample", 0), row.get("weights_version", 0), _right(row))
        if not (isinstance(found[0], str) and isinstance(found[1], int) and isinstance(found[2], int)):
            raise InputError(f"{path}: holds a row that is no trajectory; `rise check RUN` says which")
        yield found


def _right(row: dict[str, Any]) -> bool:
    verdict = row.get("verdict")
    return isinstance(verdict, dict) and bool(verdict.get("correct") and verdict.get("well_formed"))


def trajectory(row: dict[str, Any], path: Path) -> Trajectory:
    """The trajectory in a row of the journal `path`; InputError where it is none."""
    try:
        return Trajectory.from_json(row)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a trajectory ({' '.join(str(error).split())[:80]}); restore the file") from error


def rollout_files(stage: Path, most: int = MOST_BYTES) -> tuple[list[Path], int]:
    """The files of RL's rollouts in the order of their steps, and how many were left out to read at most `most` bytes.

    Left out are those in the middle: the first show what RL began with, the last what came of it.
    """
    files = sorted(stage.glob("trajectories-*.jsonl"))
    first = _within(files, most // 2)
    rest = files[len(first) :]
    last = _within(rest[::-1], most // 2)[::-1]
    return [*first, *last], len(rest) - len(last)


def opening_files(stage: Path, most: int = MOST_BYTES) -> list[Path]:
    """Those of `rollout_files` before any that is left out."""
    files, unread = rollout_files(stage, most)
    return _within(sorted(stage.glob("trajectories-*.jsonl")), most // 2) if unread else files


def _within(files: Sequence[Path], most: int) -> list[Path]:
    """As many of `files` from the start as hold `most` bytes together, one at least."""
    taken: list[Path] = []
    total = 0
    for file in files:
        total += file.stat().st_size
        if taken and total > most:
            break
        taken.append(file)
    return taken


def _problem_id(line: bytes) -> str | None:
    """What a line begins with, as our own writers do; None where it begins otherwise."""
    found = _PROBLEM.match(line)
    if found is None:
        return None
    try:
        key: str = json.loads(found[1])
    except ValueError:  # a damaged line, which is met when it is parsed
        return None
    return key
