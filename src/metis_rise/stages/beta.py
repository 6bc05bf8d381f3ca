"""The Beta distribution function and its inverse: what is believed of a solve rate after some samples."""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, log, log1p

# Digits beyond these are rounding; the fraction needs about sqrt(max(a, b)) terms.
_PRECISION = 1e-15
_MOST_TERMS = 10_000
_HALVINGS = 60
# Stands for a zero that would be divided by.
_NEARLY_ZERO = 1e-300


def beta_cdf(x: float, a: float, b: float) -> float:
    """P(X <= x) of X ~ Beta(a, b), the regularised incomplete beta function I_x(a, b); 0 below 0 and 1 above 1.

    By its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22), on the side where that
    converges fast.

    Raises:
        ValueError: a or b is not above 0.
    """
    if a <= 0 or b <= 0:
        raise ValueError(f"Beta({a}, {b}): both must be above 0")
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


@lru_cache(maxsize=4096)
def beta_quantile(share: float, a: float, b: float) -> float:
    """The x with `beta_cdf(x, a, b)` = share, by halving, to about 1e-16.

    Raises:
        ValueError: `share` is not within 0..1, or a or b is not above 0.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a quantile at {share}: must be within 0..1")
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if beta_cdf(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + ...))) by Lentz's method: the ratios of neighbouring convergents are multiplied."""
    value, upper, lower = _NEARLY_ZERO, _NEARLY_ZERO, 0.0
    for term in range(_MOST_TERMS):
        coefficient = 1.0 if term == 0 else _coefficient(term, x, a, b)
        lower = 1 / (1 + coefficient * lower or _NEARLY_ZERO)
        upper = 1 + coefficient / upper or _NEARLY_ZERO
        value *= upper * lower
        if abs(upper * lower - 1) < _PRECISION:
            return value
    raise ArithmeticError(f"the incomplete beta function at {x}, {a}, {b} did not converge")


def _coefficient(term: int, x: float, a: float, b: float) -> float:
    m, odd = divmod(term, 2)
    if odd:
        return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
