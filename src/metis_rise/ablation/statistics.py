"""Intervals and tests over cells (base and seed) and problems at once.

Cells differ by sampling, orders and draws, problems by what they ask; both are samples of more. So the variance of a
mean has a part of each, and the chance of single answers, which is in both, is taken off once (crossed random effects;
Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007, has them). Seeds vary within their base; bases
are no sample, since there are too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import atan, sqrt

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval, of so many cells and problems; p where it is a difference that is tested."""

    mean: float
    low: float
    high: float
    cells: int
    problems: int
    p: float | None = None


def estimate(rows: Sequence[Sequence[float]], strata: Sequence[str]) -> Estimate:
    """The mean of shares, from 0 to 1, over all cells and problems, and an interval that ends there too.

    Args:
        rows: a row for each cell, with a value for each problem, the problems in one order.
        strata: the base of each cell.
    """
    values = np.asarray(rows, dtype=np.float64)
    error, freedom = _error(values, strata)
    mean, reach = float(values.mean()), _quantile(freedom) * error
    return Estimate(mean, max(0.0, mean - reach), min(1.0, mean + reach), *values.shape)


def difference(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], strata: Sequence[str]) -> Estimate:
    """second - first, of the same cells and problems in the same order, with the two-sided p of no difference."""
    values = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    error, freedom = _error(values, strata)
    mean, reach = float(values.mean()), _quantile(freedom) * error
    p = _beyond(abs(mean) / error, freedom) if error else float(mean == 0)
    cells, problems = values.shape
    return Estimate(mean, max(-1.0, mean - reach), min(1.0, mean + reach), cells, problems, p)


def _error(values: Matrix, strata: Sequence[str]) -> tuple[float, float]:
    """The standard error of the mean of cells x problems, and its degrees of freedom (Satterthwaite, 1946)."""
    cells, problems = values.shape
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    of_problems = float(columns.var(ddof=1)) / problems if problems > 1 else 0.0
    within, freedom = _within(rows, strata)
    if not freedom:
        return sqrt(of_problems), max(1.0, problems - 1.0)
    own = values - rows[:, None] - columns[None, :] + rows.mean()
    twice = float((own**2).sum()) / max(1, (cells - 1) * (problems - 1)) / values.size
    of_cells = within / cells
    # Each part is an estimate, so that what is taken off can be too much.
    variance = max(of_cells + of_problems - twice, of_problems)
    parts = of_cells**2 / freedom + of_problems**2 / max(1, problems - 1)
    return sqrt(variance), max(1.0, variance**2 / parts) if parts else 1.0


def _within(means: Matrix, strata: Sequence[str]) -> tuple[float, int]:
    """The variance of cells' means within their base, and its degrees of freedom: 0 for one cell alone.

    Where no base has two cells it is that of all: too large, as bases differ by more than seeds do.
    """
    names = np.array(strata) if len(set(strata)) < len(strata) else np.full(len(strata), "")
    groups = [means[names == name] for name in sorted(set(names.tolist()))]
    freedom = len(means) - len(groups)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return (squares / freedom if freedom else 0.0), freedom


@lru_cache(maxsize=1)
def _nodes() -> tuple[Matrix, Matrix]:
    return np.polynomial.legendre.leggauss(400)


def _beyond(t: float, freedom: float) -> float:
    """How often Student's t is farther from 0 than `t`, either way.

    With t = sqrt(freedom) tan(x) its density is that of cos(x) ** (freedom - 1), which has no tail.
    """

    def area(start: float) -> float:
        nodes, weights = _nodes()
        half = (np.pi / 2 - start) / 2
        return float(half * (weights * np.cos(start + half * (nodes + 1)) ** (freedom - 1)).sum())

    return area(atan(t / sqrt(freedom))) / area(0.0)


@lru_cache(maxsize=4096)
def _quantile(freedom: float) -> float:
    """What Student's t is beyond in 5 % of cases."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _beyond(middle, freedom) > _CHANCE else (low, middle)
    return high


def holm(values: Sequence[float]) -> list[float]:
    """What tests' p become when all of them are to hold together, in the order given.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    corrected, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, (len(values) - rank) * values[place])
        corrected[place] = min(1.0, least)
    return corrected


def pass_at(rates: Sequence[float], samples: int, k: int) -> float:
    """The chance that one of k samples is right, mean over problems; unbiased from `samples` of each.

    Source: Chen et al., "Evaluating Large Language Models Trained on Code", 2021.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k = {k} of {samples} samples")
    right = np.rint(np.asarray(rates, dtype=np.float64) * samples)
    missed = np.ones_like(right)
    for draw in range(k):
        missed *= np.clip(samples - right - draw, 0, None) / (samples - draw)
    return float(1 - missed.mean())
