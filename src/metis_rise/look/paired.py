"""Whether two runs differ on the same problems, beyond what chance alone would bring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb, sqrt

_Z = 1.96


@dataclass(frozen=True, slots=True)
class Paired:
    """n problems that both answered: those that only one of them got right, and the difference second - first.

    low, high: its 95 % interval. p: how often chance alone would split them so unevenly or more, were both as good.
    """

    n: int
    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    p: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the difference is significant at 5 %; of many comparisons, one in twenty is by chance alone."""
        return self.p < 0.05


def paired(answers: Iterable[tuple[bool, bool]]) -> Paired | None:
    """The comparison of `answers`, right or wrong by the first and the second; None where there are none.

    p is McNemar's exact test, two-sided: of the problems on which both differ, each is as likely to fall to either.
    The interval is Wald's with half a problem added to each of the four outcomes, which keeps its coverage for few
    problems and at the ends (Agresti and Min, Statistics in Medicine 24, 2005).
    """
    n = only_first = only_second = 0
    for first, second in answers:
        n += 1
        only_first += first and not second
        only_second += second and not first
    if n == 0:
        return None
    low, high = _interval(n, only_first, only_second)
    p = _mcnemar(only_first, only_second)
    return Paired(n, only_first, only_second, (only_second - only_first) / n, low, high, p)


def _interval(n: int, only_first: int, only_second: int) -> tuple[float, float]:
    total, first, second = n + 2, only_first + 0.5, only_second + 0.5
    middle = (second - first) / total
    half = _Z * sqrt((first + second) / total - middle**2) / sqrt(total)
    return max(-1.0, middle - half), min(1.0, middle + half)


def _mcnemar(first: int, second: int) -> float:
    differing, fewer = first + second, min(first, second)
    tail = sum(comb(differing, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << differing))
