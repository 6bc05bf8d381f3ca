"""Scores of a run's models on public benchmarks, from the score.json files in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.journal import parse_object
from metis_rise.report.data import ARMS, RunData


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """A score in percent with its 95 % interval, where it is known; `partial` where not the whole set was scored."""

    percent: float
    low: float | None
    high: float | None
    n: int
    partial: bool


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """One benchmark: the scores by arm, and the arms that no other beats where they differ."""

    title: str
    scores: Mapping[str, BenchmarkScore]

    @property
    def best(self) -> set[str]:
        """Arms with the highest score, where some arm has a lower one."""
        values = [score.percent for score in self.scores.values()]
        if len(set(values)) < 2:
            return set()
        return {arm for arm, score in self.scores.items() if score.percent == max(values)}


def benchmark_rows(run: RunData) -> list[BenchmarkRow]:
    """A row for each benchmark on which some arm has a score.

    Raises:
        InputError: a file that is no score.
    """
    found: dict[str, dict[str, BenchmarkScore]] = {}
    for arm in ARMS:
        for file in sorted((run.path / "benchmarks" / arm).glob("*/score.json")):
            title, score = _read(file)
            if score is not None:
                found.setdefault(title, {})[arm] = score
    return [BenchmarkRow(title, scores) for title, scores in sorted(found.items())]


def _read(file: Path) -> tuple[str, BenchmarkScore | None]:
    row = parse_object(file.read_bytes())
    try:
        if row is None:
            raise TypeError("not a JSON object")
        first: Mapping[str, Any] = next(iter(row["metrics"].get("headlines", {}).values()), {})
        title, percent = str(row.get("title", row["benchmark"])), row["score"]
        if percent is None:
            return title, None
        low, high = (None if first.get(end) is None else float(first[end]) for end in ("low", "high"))
        return title, BenchmarkScore(float(percent), low, high, int(row["n"]), not row["complete"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file}: not a score ({error}); score again with the command that made it") from error
