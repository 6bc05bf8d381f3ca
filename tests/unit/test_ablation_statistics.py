"""Intervals and tests over seeds and problems, Holm's correction, and pass@k."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.ablation.statistics import _beyond, _quantile, difference, estimate, holm, pass_at


def test_the_mean_is_over_all_cells_and_problems():
    found = estimate([[1, 0, 1, 0], [1, 1, 1, 0]], ["a", "a"])
    assert (found.mean, found.cells, found.problems, found.p) == (0.625, 2, 4, None)
    assert found.low < 0.625 < found.high


def test_without_anything_that_varies_the_interval_is_a_point():
    found = estimate([[1, 1, 1]] * 3, ["a"] * 3)
    assert (found.low, found.mean, found.high) == (1, 1, 1)


def test_seeds_vary_within_a_base_and_bases_are_no_sample():
    """Between bases that differ wholly, and seeds that do not, nothing is left to vary."""
    apart = [[1.0] * 6, [1.0] * 6, [0.0] * 6, [0.0] * 6]
    assert estimate(apart, ["a", "a", "b", "b"]).low == estimate(apart, ["a", "a", "b", "b"]).high == 0.5
    mixed = estimate(apart, ["a", "b", "a", "b"])
    assert (mixed.low, mixed.high) == (0.0, 1.0)


def test_problems_alone_give_the_interval_of_a_share():
    """One cell: the binomial's normal interval."""
    rights = [1.0] * 300 + [0.0] * 700
    found, half = estimate([rights], ["a"]), 1.962 * (0.3 * 0.7 / 999) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-5)


def test_cells_alone_give_the_interval_of_their_mean():
    """Problems that are all alike: Student's interval of cells, of two bases with the variance within them."""
    one = difference([[0.0] * 4] * 3, [[0.1] * 4, [0.2] * 4, [0.3] * 4], ["a"] * 3)
    half = 4.3027 * 0.1 / 3**0.5
    assert (one.low, one.mean, one.high) == pytest.approx((0.2 - half, 0.2, 0.2 + half), abs=1e-5)
    assert one.p == pytest.approx(0.0742, abs=1e-4)
    gains = [[0.1] * 4, [0.3] * 4, [0.5] * 4, [0.7] * 4]
    two = difference([[0.0] * 4] * 4, gains, ["a", "a", "b", "b"])
    half = 4.3027 * (0.02 / 4) ** 0.5
    assert (two.low, two.high) == pytest.approx((0.4 - half, 0.4 + half), abs=1e-5)


def test_chance_of_single_answers_is_counted_once():
    """Two cells and two problems by hand: parts of cells 1/16, of problems 1/16, of single answers 1/16."""
    found = difference([[0.0, 0.0]] * 2, [[1.0, 0.0], [0.0, 0.0]], ["a", "a"])
    # Variance 1/16 + 1/16 - 1/16, degrees of freedom (1/16)^2 / (2 (1/16)^2), at least 1.
    assert found.p == pytest.approx(0.5) and (found.low, found.high) == (-1, 1)


def test_bases_of_one_cell_each_are_cells_of_one():
    apart = difference([[0.0] * 4] * 2, [[0.1] * 4, [0.3] * 4], ["a", "b"])
    assert apart == difference([[0.0] * 4] * 2, [[0.1] * 4, [0.3] * 4], ["a", "a"])


# Skills of cells, ease of problems, and what a problem is worth to one cell and not to another one.
WORLDS = [(0.0, 0.05, 0.0), (0.0, 0.3, 0.2), (0.02, 0.3, 0.0), (0.05, 0.05, 0.0), (0.1, 0.3, 0.2)]


@pytest.mark.parametrize("strata", [["a"] * 5 + ["b"] * 5, ["a"] * 5, ["a"] * 3], ids=["10", "5", "3"])
@pytest.mark.parametrize(("skill", "ease", "both"), WORLDS)
def test_the_interval_covers_no_difference_as_often_as_it_says(
    strata: list[str], skill: float, ease: float, both: float
):
    """Answers that one arm has right and the other wrong, or the reverse; of 400 intervals of 95 % some 20 may miss."""
    rng, trials, cells = np.random.default_rng(0), 400, len(strata)
    ps = []
    for _ in range(trials):
        gain = rng.normal(0, skill, cells)[:, None] + rng.normal(0, ease, 200) + rng.normal(0, both, (cells, 200))
        gain = np.clip(gain, -0.9, 0.9)
        drawn, differ = rng.random((cells, 200)), np.maximum(0.3, np.abs(gain))
        values = np.where(drawn < (differ + gain) / 2, 1.0, np.where(drawn < differ, -1.0, 0.0))
        found = difference(np.zeros_like(values).tolist(), values.tolist(), strata)
        assert found.p is not None and (found.p > 0.05) == (found.low < 0 < found.high)
        ps.append(found.p)
    # 0.05 and four standard errors above; with few cells that differ by chance alone it is too careful, never too bold.
    assert (np.array(ps) <= 0.05).mean() < 0.05 + 4 * (0.05 * 0.95 / trials) ** 0.5


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (8, 2.3060), (30, 2.0423), (120, 1.9799), (1079, 1.9622)],
)
def test_students_t_is_that_of_the_tables(freedom: int, quantile: float):
    assert _quantile(freedom) == pytest.approx(quantile, abs=5e-5)
    assert _beyond(quantile, freedom) == pytest.approx(0.05, abs=1e-5)


def test_a_difference_is_paired():
    """Problems that are hard for both widen neither side of the difference."""
    hard = [0.0] * 50 + [1.0] * 50
    better = [0.0] * 45 + [1.0] * 55
    found = difference([hard] * 4, [better] * 4, ["a"] * 4)
    alone = estimate([hard] * 4, ["a"] * 4)
    assert found.mean == pytest.approx(0.05)
    assert found.high - found.low < (alone.high - alone.low) / 2
    assert found.p == pytest.approx(0.0246, abs=1e-4)


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
