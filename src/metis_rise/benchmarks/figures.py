"""From verdicts to figures: headlines with intervals, breakdowns by label, several samples per item."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metis_rise.benchmarks.base import Benchmark, Headline, Item, Marks, Scored
from metis_rise.benchmarks.scoring import Scores

STRICT = "right and well formed"
RESAMPLES = 2000
"""So often the groups are drawn anew for an interval."""
DIGITS = 4
"""Of a percentage in JSON."""
SEED = 0
"""Of the resampling, so that the same verdicts give the same interval."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over groups, in percent, with its 95 % interval; over several samples it is mean@k.

    best: pass@k, each item counted as right where any of its k samples is; None with a single sample.
    """

    score: float
    low: float
    high: float
    groups: int
    best: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of one benchmark.

    n: rows scored. headlines: by name, the first is the leaderboard's; one that no group counts for is absent.
    breakdowns: headline -> label -> value -> figure. more: further figures in percent, means over samples.
    """

    n: int
    samples: int
    headlines: Mapping[str, Figure]
    breakdowns: Mapping[str, Mapping[str, Mapping[str, Figure]]]
    more: Mapping[str, float]
    main: str

    @property
    def score(self) -> float | None:
        """The leaderboard's number in percent, None where nothing could be scored."""
        figure = self.headlines.get(self.main)
        return None if figure is None else figure.score

    def plain(self) -> dict[str, float]:
        """Every headline and further figure in percent, by its name in snake case ("worst_case")."""
        scores = {name: figure.score for name, figure in self.headlines.items()} | dict(self.more)
        return {
            "_".join(re.findall(r"[a-z0-9]+", name.lower())): round(value, DIGITS) for name, value in scores.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The `metrics` of score.json, with "pass@k" beside each score where items were sampled k times."""
        return {
            "samples": self.samples,
            "headlines": {name: self._plain(figure) for name, figure in self.headlines.items()},
            "breakdowns": {
                name: {
                    label: {value: self._plain(figure) for value, figure in values.items()}
                    for label, values in labels.items()
                }
                for name, labels in self.breakdowns.items()
            },
            "more": {name: round(value, DIGITS) for name, value in self.more.items()},
        }

    def _plain(self, figure: Figure) -> dict[str, Any]:
        ends = {"score": figure.score, "low": figure.low, "high": figure.high}
        best = {} if figure.best is None else {f"pass@{self.samples}": round(figure.best, DIGITS)}
        return {name: round(value, DIGITS) for name, value in ends.items()} | {"groups": figure.groups} | best


@dataclass(frozen=True, slots=True)
class _Worth:
    """What one group is worth, 0 to 1: the mean over samples, and by the best of each item; its labels' values."""

    mean: float
    best: float
    labels: Mapping[str, frozenset[str]]


def figures(benchmark: Benchmark, scores: Scores) -> Figures:
    """The figures of what was scored; intervals by resampling groups, always with the same seed."""
    groups = _groups(scores.scored)
    headlines, breakdowns = dict[str, Figure](), dict[str, Mapping[str, Mapping[str, Figure]]]()
    for headline in benchmark.headlines:
        worths = list(_worths(headline, groups, scores.samples))
        if worths:
            headlines[headline.name] = _figure(worths, scores.samples)
            breakdowns[headline.name] = {
                label: _by_value(label, worths, scores.samples)
                for label in headline.by
                if any(worth.labels.get(label) for worth in worths)
            }
    more = _more(benchmark, scores) if scores.scored else {}
    return Figures(len(scores.scored), scores.samples, headlines, breakdowns, more, benchmark.headlines[0].name)


def _snake(name: str) -> str:
    return "_".join(re.findall(r"[a-z0-9]+", name.lower()))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean: between the 2.5th and 97.5th percentile of means of redrawn values."""
    array = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng(SEED)
    means = [array[generator.integers(len(array), size=len(array))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _groups(scored: Sequence[Scored]) -> list[list[Scored]]:
    found: dict[str, list[Scored]] = {}
    for one in scored:
        found.setdefault(one.item.group, []).append(one)
    return list(found.values())


def _worths(headline: Headline, groups: Sequence[Sequence[Scored]], samples: int) -> Iterator[_Worth]:
    """The worth of each group that counts."""
    for group in groups:
        items = [one.item for one in group]
        worths = [headline.worth(items, _marks(group, sample)) for sample in range(samples)]
        best = headline.worth(items, _best_marks(group))
        counted = [worth for worth in worths if worth is not None]
        if counted and best is not None:
            yield _Worth(sum(counted) / len(counted), best, _labels(items, headline.by))


def _marks(group: Sequence[Scored], sample: int) -> Marks:
    return {one.item.index: one.verdicts[sample].correct for one in group}


def _best_marks(group: Sequence[Scored]) -> Marks:
    return {one.item.index: any(verdict.correct for verdict in one.verdicts) for one in group}


def _labels(items: Sequence[Item], names: Sequence[str]) -> dict[str, frozenset[str]]:
    """The values of each label in a group; a group counts in each value that one of its items has."""
    return {name: frozenset(value for item in items for value in item.labels.get(name, ())) for name in names}


def _by_value(label: str, worths: Sequence[_Worth], samples: int) -> dict[str, Figure]:
    values = sorted({value for worth in worths for value in worth.labels[label]})
    return {value: _figure([worth for worth in worths if value in worth.labels[label]], samples) for value in values}


def _figure(worths: Sequence[_Worth], samples: int) -> Figure:
    means = [worth.mean for worth in worths]
    low, high = interval(means)
    best = None if samples == 1 else 100 * sum(worth.best for worth in worths) / len(worths)
    return Figure(100 * sum(means) / len(means), 100 * low, 100 * high, len(worths), best)


def _more(benchmark: Benchmark, scores: Scores) -> dict[str, float]:
    """Each further figure, as the mean over the samples that have it."""
    found: dict[str, list[float]] = {}
    for sample in range(scores.samples):
        marked = [(one.item, one.verdicts[sample].correct) for one in scores.scored]
        for name, value in benchmark.more(marked).items():
            found.setdefault(name, []).append(value)
        if benchmark.strict:
            strict = sum(one.verdicts[sample].strict for one in scores.scored)
            found.setdefault(STRICT, []).append(100 * strict / len(scores.scored))
    return {name: sum(values) / len(values) for name, values in found.items()}
