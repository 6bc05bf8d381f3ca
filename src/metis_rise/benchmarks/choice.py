"""Which benchmarks, which data, and when their scores have a mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from pathlib import Path
from typing import Any

from metis_rise.benchmarks import sources
from metis_rise.benchmarks.base import Benchmark
from metis_rise.benchmarks.figures import DIGITS
from metis_rise.benchmarks.registry import SIX, find
from metis_rise.errors import InputError

ALL = "all"
"""Stands for the six of the leaderboard."""


def chosen(names: Sequence[str], data: Path | None) -> dict[Benchmark, Path | None]:
    """The benchmarks of these `names` (or of `ALL`), with the data file of each, None where it needs none.

    `data` is the file, or the folder that the files are in; None is $LMUData, else ~/LMUData.

    Raises:
        InputError: an unknown name, one given twice, one file for several, or a file that is not there.
    """
    found = [benchmark for name in names for benchmark in named(name.strip())]
    if len(set(found)) < len(found):
        raise InputError(f"benchmarks {', '.join(names)}: one is named twice; name each once")
    if len(found) > 1 and data is not None and not data.is_dir():
        raise InputError(f"{data}: is no folder, and {len(found)} benchmarks need one that all their files are in")
    return {benchmark: sources.find(benchmark, data) for benchmark in found}


def named(name: str) -> list[Benchmark]:
    """The benchmark of this name in any spelling, or the six that `ALL` stands for; InputError where there is none."""
    return [find(each) for each in SIX] if name.lower() == ALL else [find(name)]


def mean_of_six(rows: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The leaderboard's average in percent, of what each score.json holds; None where `why_no_mean` says why."""
    return None if why_no_mean(rows) else round(fsum(rows[name]["score"] for name in SIX) / len(SIX), DIGITS)


def why_no_mean(rows: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Which of the six are missing or no whole set, in a few words; None where all are there, and whole."""
    missing = [name for name in SIX if name not in rows]
    partial = [
        f"{row['title']} {row['protocol']['subset'] or 'without score'}"
        for name, row in rows.items()
        if name in SIX and not row["complete"]
    ]
    parts = (f"no {', '.join(missing)}" if missing else "", f"not whole: {', '.join(partial)}" if partial else "")
    return "; ".join(filter(None, parts)) or None
