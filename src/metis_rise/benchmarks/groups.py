"""What benchmarks share: a plain mean over the rows of a group, what a group lacks, labels."""

from __future__ import annotations

from collections.abc import Sequence

from metis_rise.benchmarks.base import Item, Marks, Row
from metis_rise.benchmarks.cells import EMPTY_FOR_PANDAS


def average(items: Sequence[Item], marks: Marks) -> float:
    """The share of the rows that are right; of a group of one row whether it is right."""
    return sum(marks[item.index] for item in items) / len(items)


def gaps(found: Sequence[str], wanted: Sequence[str], noun: str) -> str | None:
    """Which rows of a group are missing or there more than once, None where each of `wanted` is there once.

    Args:
        found: names of the rows that are there.
        wanted: names of the rows that a whole group has.
        noun: what a row is called.
    """
    missing = [name for name in wanted if name not in found]
    doubled = [name for name in wanted if found.count(name) > 1]
    parts = (
        f"no {noun} {', '.join(missing)}" if missing else "",
        f"more than one {noun} {', '.join(doubled)}" if doubled else "",
    )
    return "; ".join(filter(None, parts)) or None


def label(row: Row, column: str) -> tuple[str, ...]:
    """The cell as the only value of a label; none where it is empty, since a breakdown is no reason to drop a row."""
    value = row[column].strip()
    return () if value in EMPTY_FOR_PANDAS else (value,)
