"""The table of the Metis-RISE paper, as it was published."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from metis_rise.benchmarks.registry import BENCHMARKS, SIX

_FILE = "published_scores.csv"

COLUMNS: Mapping[str, str] = {name: BENCHMARKS[name].title for name in SIX}
"""The benchmarks that the leaderboard's mean is over: title by name, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Published:
    """A row of the table: its figures in percent by benchmark, and its mean as it stands there."""

    group: str
    model: str
    mean: float
    figures: Mapping[str, float]


def published() -> list[Published]:
    """The rows, in the order of the table."""
    return [
        Published(
            row["group"], row["model"], float(row["average"]), {name: float(row[t]) for name, t in COLUMNS.items()}
        )
        for row in csv.DictReader(_lines()[1:])
    ]


def source() -> str:
    """Where the rows were published, a few words for a footnote; the file's first line says it."""
    return _lines()[0].removeprefix("# ")


def _lines() -> list[str]:
    return (resources.files("metis_rise") / "assets" / _FILE).read_text(encoding="utf-8").splitlines()
