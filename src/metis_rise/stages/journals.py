"""Journals of trajectories: one JSON line each, read one after another or problem by problem."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.journal import parse_line, stream_jsonl
from metis_rise.types import Trajectory

JOURNAL = "trajectories-0000.jsonl"


def stream_trajectories(journal: Path) -> Iterator[tuple[int, Trajectory]]:
    """The trajectories of a journal as they were written, each with the byte that its line starts at.

    Log-probabilities are left out: they are most of a journal, and few readers need them.
    """
    for number, (start, row) in enumerate(stream_jsonl(journal), start=1):
        yield start, _trajectory(row | {"logprobs": ()}, f"{journal} row {number}")


def read_trajectories(journal: Path) -> dict[str, list[Trajectory]]:
    """A journal's trajectories by problem id, each sample once: a killed run may have written a part of a group."""
    found: dict[str, dict[int, Trajectory]] = {}
    for _, trajectory in stream_trajectories(journal):
        found.setdefault(trajectory.problem_id, {})[trajectory.sample] = trajectory
    return {problem_id: list(samples.values()) for problem_id, samples in found.items()}


def by_problem(journal: Path, wanted: Collection[str]) -> Iterator[tuple[str, list[Trajectory]]]:
    """The trajectories of the `wanted` problems, log-probabilities included, one problem after another.

    A journal of adaptive sampling has the rounds of a problem far apart and may be larger than memory: a first pass
    notes where each line starts, a second one reads a problem's lines. Each sample comes once, as written last.
    """
    starts: dict[str, dict[int, int]] = {}
    for start, row in stream_jsonl(journal):
        if row["problem_id"] in wanted:
            starts.setdefault(row["problem_id"], {})[row["sample"]] = start
    with journal.open("rb") as file:
        for problem_id, samples in starts.items():
            found = []
            for start in samples.values():
                file.seek(start)
                line = parse_line(file.readline())
                assert line is not None, "the first pass read it"
                found.append(_trajectory(line, f"{journal} at byte {start}"))
            yield problem_id, found


def _trajectory(row: Mapping[str, Any], place: str) -> Trajectory:
    try:
        return Trajectory.from_json(row)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{place}: not a trajectory ({error}); delete this line, or restore the file") from error
