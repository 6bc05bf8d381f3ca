"""Intervals and tests over cells (base and seed) and problems at once.

Cells differ by sampling, orders and draws, problems by what they ask; both are samples of more. So the bootstrap draws
both anew, independently of each other (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007): seeds
within each base, since there are too few bases to draw, and problems over all cells, which share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
RESAMPLES = 4000
_SEED = 20250613
# Signs of more cells than that are drawn, not gone through.
_EXACT = 14


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
    """The mean over all cells and problems.

    Args:
        rows: a row for each cell, with a value for each problem, the problems in one order.
        strata: the base of each cell.
    """
    values = np.asarray(rows, dtype=np.float64)
    # Divided last: sums of whole numbers are exact, and a difference of nothing is then 0.
    sums = ((_problems(values.shape[1]) @ values.T) * _cells(tuple(strata))).sum(axis=1)
    drawn = sums / values.size
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high), *values.shape)


def difference(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], strata: Sequence[str]) -> Estimate:
    """second - first, of the same cells and problems in the same order, with the p of `sign_flip`."""
    values = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    found = estimate(values.tolist(), strata)
    return Estimate(found.mean, found.low, found.high, found.cells, found.problems, sign_flip(values.mean(axis=1)))


def sign_flip(differences: Sequence[float] | Matrix) -> float:
    """How often chance alone would give a mean as far from 0, were each cell's sign a coin's throw; two-sided.

    Exact for up to 14 cells. Of n cells nothing below 2 / 2^n can come out, so with few of them p says little. It is of
    the problems as they are: that others would give another mean is no chance to it, as it is to the intervals.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n <= _EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=n)))
    else:
        signs = np.random.default_rng(_SEED).choice((1.0, -1.0), size=(1 << _EXACT, n))
        signs[0] = 1.0
    means = np.abs(signs @ values)
    return float((means >= means[0] - 1e-12).mean())


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


@lru_cache(maxsize=8)
def _problems(n: int) -> Matrix:
    """How often each of n problems is drawn in each resample."""
    return np.random.default_rng(_SEED).multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float64)


@lru_cache(maxsize=64)
def _cells(strata: tuple[str, ...]) -> Matrix:
    """How often each cell is drawn in each resample; the cells of a stratum are drawn from each other."""
    rng, names = np.random.default_rng(_SEED + 1), np.array(strata)
    weights = np.zeros((RESAMPLES, len(names)))
    for name in sorted(set(strata)):
        places = np.flatnonzero(names == name)
        weights[:, places] = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), RESAMPLES)
    return weights
