"""The Beta distribution against exact sums, closed forms and its own inverse."""

from __future__ import annotations

from math import asin, comb, pi, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.stages.beta import beta_cdf, beta_quantile

PARAMETER = st.floats(0.5, 200)
INSIDE = st.floats(0.001, 0.999)


@given(st.integers(1, 60), st.integers(1, 60), INSIDE)
def test_whole_parameters_are_a_tail_of_the_binomial(a: int, b: int, x: float):
    n = a + b - 1
    exact = sum(comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
    assert beta_cdf(x, a, b) == pytest.approx(exact, abs=1e-12)


@given(INSIDE)
def test_halves_are_the_arcsine_distribution(x: float):
    assert beta_cdf(x, 0.5, 0.5) == pytest.approx(2 / pi * asin(sqrt(x)), abs=1e-13)


@given(INSIDE, PARAMETER)
def test_powers(x: float, a: float):
    assert beta_cdf(x, a, 1) == pytest.approx(x**a, rel=1e-10)
    assert beta_cdf(x, 1, a) == pytest.approx(1 - (1 - x) ** a, abs=1e-12)


@pytest.mark.parametrize(
    ("share", "a", "b", "value"),
    # Jeffreys' 95 % limits of 0 of 10, 3 of 10 and 8 of 8, from Brown, Cai and DasGupta's tables and by mpmath.
    [(0.975, 0.5, 10.5, 0.2172), (0.025, 3.5, 7.5, 0.0927), (0.975, 3.5, 7.5, 0.6058), (0.025, 8.5, 0.5, 0.7378)],
)
def test_known_limits(share: float, a: float, b: float, value: float):
    assert beta_quantile(share, a, b) == pytest.approx(value, abs=5e-5)


@given(INSIDE, PARAMETER, PARAMETER)
def test_the_quantile_is_the_inverse(share: float, a: float, b: float):
    assert beta_cdf(beta_quantile(share, a, b), a, b) == pytest.approx(share, abs=1e-9)


@given(INSIDE, PARAMETER, PARAMETER)
def test_mirrored(x: float, a: float, b: float):
    assert beta_cdf(x, a, b) + beta_cdf(1 - x, b, a) == pytest.approx(1, abs=1e-9)


def test_the_ends_and_what_is_refused():
    assert [beta_cdf(x, 2, 3) for x in (-1, 0, 1, 2)] == [0, 0, 1, 1]
    assert beta_quantile(0, 2, 3) == pytest.approx(0) and beta_quantile(1, 2, 3) == pytest.approx(1, abs=1e-5)
    for a, b in ((0, 1), (1, -1)):
        with pytest.raises(ValueError, match="above 0"):
            beta_cdf(0.5, a, b)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        beta_quantile(1.5, 1, 1)
