"""Intervals over seeds and problems, the sign-flip test, and pass@k."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.ablation.statistics import difference, estimate, holm, pass_at, sign_flip


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


@pytest.mark.parametrize(
    ("cells", "skill", "ease"),
    [(10, 0.0, 0.05), (10, 0.0, 0.3), (10, 0.02, 0.3), (10, 0.05, 0.05), (3, 0.0, 0.3), (3, 0.02, 0.05)],
)
def test_the_interval_covers_the_truth_about_as_often_as_it_says(cells: int, skill: float, ease: float):
    """Answers that one arm has right and the other wrong, or the reverse, by cells' skill, problems' ease and chance.

    Of 120 intervals of 95 % each a few more may miss than 6. Where seeds differ by far more than problems do (5 points
    and more, with 3 of them) they miss more often: three seeds do not say how much seeds differ.
    """
    rng, hits, trials = np.random.default_rng(0), 0, 120
    strata = ["a"] * 3 if cells == 3 else ["a"] * 5 + ["b"] * 5
    for _ in range(trials):
        gain = rng.normal(0, skill, cells)[:, None] + rng.normal(0, ease, 300)[None, :]
        drawn, differ = rng.random((cells, 300)), np.maximum(0.3, np.abs(gain))
        values = np.where(drawn < (differ + gain) / 2, 1.0, np.where(drawn < differ, -1.0, 0.0))
        found = estimate(values.tolist(), strata)
        hits += found.low <= 0 <= found.high
    assert hits >= trials * 0.89


@pytest.mark.parametrize("cells", [3, 5, 10])
def test_p_is_as_often_small_as_it_says_where_only_cells_differ(cells: int):
    rng, trials = np.random.default_rng(0), 600
    found = np.array([sign_flip(rng.normal(0, 1, cells)) for _ in range(trials)])
    for level in (0.05, 0.25, 0.5, 0.8):
        error, step = 4 * (level * (1 - level) / trials) ** 0.5, 2 / 2**cells
        assert level - step - error < (found <= level).mean() < level + error


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


@pytest.mark.parametrize(
    ("values", "corrected"),
    [
        # As statsmodels' multipletests(method="holm") and R's p.adjust give them.
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_corrects_the_smallest_most(values: list[float], corrected: list[float]):
    assert holm(values) == pytest.approx(corrected)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=8))
def test_holm_with_ones_for_what_is_not_known_is_never_too_small(given_: list[tuple[float, bool]]):
    before = holm([p if known else 1.0 for p, known in given_])
    after = holm([p for p, _ in given_])
    assert all(one >= two for one, two, (_, known) in zip(before, after, given_, strict=True) if known)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 6))
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(counts: list[int], k: int):
    def share(right: int) -> float:
        draws = list(combinations([True] * right + [False] * (6 - right), k))
        return sum(map(any, draws)) / len(draws)

    assert pass_at([count / 6 for count in counts], 6, k) == pytest.approx(fmean(map(share, counts)))


def test_pass_at_more_than_was_sampled_is_refused():
    with pytest.raises(ValueError, match="k = 3 of 2"):
        pass_at([0.5], 2, 3)
