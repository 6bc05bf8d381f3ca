"""Intervals over seeds and problems, the sign-flip test, and pass@k."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.ablation.statistics import difference, estimate, pass_at, sign_flip


def test_the_mean_is_over_all_cells_and_problems():
    found = estimate([[1, 0, 1, 0], [1, 1, 1, 0]], ["a", "a"])
    assert (found.mean, found.cells, found.problems, found.p) == (0.625, 2, 4, None)
    assert found.low < 0.625 < found.high


def test_without_anything_that_varies_the_interval_is_a_point():
    found = estimate([[1, 1, 1]] * 3, ["a"] * 3)
    assert (found.low, found.mean, found.high) == (1, 1, 1)


def test_seeds_are_drawn_within_a_base_and_bases_are_not_drawn():
    """Between bases that differ wholly, and seeds that do not, nothing is left to draw."""
    apart = [[1.0] * 6, [1.0] * 6, [0.0] * 6, [0.0] * 6]
    assert estimate(apart, ["a", "a", "b", "b"]).low == estimate(apart, ["a", "a", "b", "b"]).high == 0.5
    mixed = estimate(apart, ["a", "b", "a", "b"])
    assert (mixed.low, mixed.high) == (0.0, 1.0)


def test_problems_alone_give_the_interval_of_a_share():
    """One cell: the bootstrap over problems is the binomial's normal interval, about."""
    rights = [1.0] * 300 + [0.0] * 700
    found, half = estimate([rights], ["a"]), 1.96 * (0.3 * 0.7 / 1000) ** 0.5
    assert found.low == pytest.approx(0.3 - half, abs=0.004) and found.high == pytest.approx(0.3 + half, abs=0.004)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Cells and problems of random effects, as bootstrap and protocol suppose them; 95 % of 120 within 4 errors."""
    rng, hits, trials = np.random.default_rng(0), 0, 120
    for _ in range(trials):
        skill, ease = rng.normal(0, 0.05, 10), rng.normal(0, 0.25, 200)
        values = skill[:, None] + ease[None, :] + rng.normal(0, 0.3, (10, 200))
        found = estimate(values.tolist(), ["a"] * 5 + ["b"] * 5)
        hits += found.low <= 0 <= found.high
    assert hits >= trials * 0.87


def test_a_difference_is_paired():
    """Problems that are hard for both widen neither side of the difference."""
    hard = [0.0] * 50 + [1.0] * 50
    better = [0.0] * 45 + [1.0] * 55
    found = difference([hard] * 4, [better] * 4, ["a"] * 4)
    alone = estimate([hard] * 4, ["a"] * 4)
    assert found.mean == pytest.approx(0.05)
    assert found.high - found.low < (alone.high - alone.low) / 2
    assert found.p == 2 / 2**4


@pytest.mark.parametrize(
    ("values", "p"),
    [([1.0], 1.0), ([1.0, 1.0, 1.0], 0.25), ([1.0, -1.0], 1.0), ([3.0, 1.0, -1.0], 0.75), ([0.0, 0.0], 1.0)],
)
def test_sign_flips_of_few_cells_are_all_gone_through(values: list[float], p: float):
    assert sign_flip(values) == p
    assert sign_flip([-value for value in values]) == p


def test_sign_flips_of_many_cells_are_drawn():
    assert sign_flip([1.0] * 20) < 0.001
    assert 0.9 < sign_flip([1.0, -1.0] * 10) <= 1


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 6))
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(counts: list[int], k: int):
    def share(right: int) -> float:
        draws = list(combinations([True] * right + [False] * (6 - right), k))
        return sum(map(any, draws)) / len(draws)

    assert pass_at([count / 6 for count in counts], 6, k) == pytest.approx(fmean(map(share, counts)))


def test_pass_at_more_than_was_sampled_is_refused():
    with pytest.raises(ValueError, match="k = 3 of 2"):
        pass_at([0.5], 2, 3)
