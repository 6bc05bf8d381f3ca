"""Intervals, buckets, and when a problem needs no more samples."""

from __future__ import annotations

from collections import Counter
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.recipe import DiagnoseConfig
from metis_rise.stages.solve_rate import Tally, bucket_of, interval, is_settled
from metis_rise.types import Bucket

COUNTS = st.integers(1, 64).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@pytest.mark.parametrize(
    ("rate", "bucket"),
    [(0.0, Bucket.ABSENT), (0.125, Bucket.INCONSISTENT), (0.875, Bucket.INCONSISTENT), (1.0, Bucket.MASTERED)],
)
def test_the_papers_buckets(rate: float, bucket: Bucket):
    assert bucket_of(rate, DiagnoseConfig()) is bucket


def test_thresholds_are_the_recipes():
    config = DiagnoseConfig(mastered_at=0.8, absent_at=0.2)
    assert [bucket_of(rate, config) for rate in (0.2, 0.5, 0.8)] == [
        Bucket.ABSENT,
        Bucket.INCONSISTENT,
        Bucket.MASTERED,
    ]


@given(COUNTS)
def test_an_interval_holds_the_share_and_mirrors(counts: tuple[int, int]):
    n, right = counts
    low, high = interval(Tally(n, right))
    assert 0 <= low <= right / n <= high <= 1 and high - low < 1
    other_low, other_high = interval(Tally(n, n - right))
    assert (other_low, other_high) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(COUNTS)
def test_an_interval_narrows_with_samples_and_moves_with_successes(counts: tuple[int, int]):
    n, right = counts
    (low, high), (four_low, four_high) = interval(Tally(n, right)), interval(Tally(4 * n, 4 * right))
    assert four_high - four_low < high - low
    if right < n:
        more_low, more_high = interval(Tally(n, right + 1))
        assert more_low > low and more_high >= high


def test_without_a_sample_nothing_is_known():
    assert interval(Tally()) == (0.0, 1.0)


@pytest.mark.parametrize("n", [4, 8, 16])
def test_the_interval_holds_the_true_rate_as_often_as_it_says(n: int):
    """Exact coverage, averaged over solve rates."""
    rates = [(2 * i + 1) / 400 for i in range(200)]
    intervals = [interval(Tally(n, k)) for k in range(n + 1)]
    coverage = [
        sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k, (low, high) in enumerate(intervals) if low <= p <= high)
        for p in rates
    ]
    assert sum(coverage) / len(coverage) > 0.945
    assert min(coverage) > 0.85


@given(COUNTS, st.integers(0, 64))
def test_absent_is_never_settled_before_the_last_sample(counts: tuple[int, int], usable: int):
    n, right = counts
    config = DiagnoseConfig(samples=1, max_samples=65, absent_at=0.2)
    if right / n <= 0.2:
        assert not is_settled(Tally(n, right, usable), config, 0)
    assert is_settled(Tally(65, right, 0), config, 99)


def test_one_of_each_proves_inconsistent_but_enough_must_be_in_hand():
    config = DiagnoseConfig()
    assert is_settled(Tally(4, 2, 2), config, 2) and is_settled(Tally(2, 1, 1), config, 1)
    assert not is_settled(Tally(4, 1, 1), config, 2)
    assert not is_settled(Tally(4, 2, 1), config, 2), "right, but not to be taught"
    assert is_settled(Tally(16, 1, 0), config, 2)


def test_mastered_is_settled_when_its_slack_is_believed():
    def enough(**settings: float) -> int | None:
        config = DiagnoseConfig(samples=1, **settings)  # type: ignore[arg-type]
        return next((n for n in range(1, 16) if is_settled(Tally(n, n, n), config, 2)), None)

    assert enough() == 6
    assert enough(confidence=0.8) == 4 and enough(confidence=0.95) == 9
    assert enough(mastered_slack=0.4) == 3
    assert enough(mastered_slack=0.0) is None
    assert not is_settled(Tally(8, 8, 0), DiagnoseConfig(), 2), "there is none to replay"


def test_thresholds_inside_are_believed_with_confidence():
    config = DiagnoseConfig(max_samples=64, mastered_at=0.75, absent_at=0.25)
    assert not is_settled(Tally(4, 2, 2), config, 2)
    assert is_settled(Tally(16, 8, 8), config, 2)
    assert not is_settled(Tally(16, 11, 11), config, 2)


@given(COUNTS, st.floats(0.5, 0.99))
def test_what_is_settled_stays_so_with_less_confidence(counts: tuple[int, int], confidence: float):
    n, right = counts
    strict, loose = (DiagnoseConfig(max_samples=65, confidence=c) for c in (confidence, 0.5))
    if is_settled(Tally(n, right, right), strict, 1):
        assert is_settled(Tally(n, right, right), loose, 1)


def test_fixed_k_ends_after_its_only_round():
    config = DiagnoseConfig(samples=8, max_samples=8)
    assert all(is_settled(Tally(8, right, 0), config, 2) for right in range(9))


def outcome(rate: float, config: DiagnoseConfig) -> tuple[float, dict[Bucket, float]]:
    """Exact: samples that a problem of this true rate is expected to take, and the probability of each bucket."""
    left, samples, buckets = {(0, 0): 1.0}, 0.0, dict.fromkeys(Bucket, 0.0)
    while left:
        grown: Counter[tuple[int, int]] = Counter()
        for (n, right), chance in left.items():
            more = min(config.samples, config.max_samples - n)
            for k in range(more + 1):
                grown[n + more, right + k] += chance * comb(more, k) * rate**k * (1 - rate) ** (more - k)
        left = {}
        for (n, right), chance in grown.items():
            if is_settled(Tally(n, right, right), config, 2):
                samples += n * chance
                buckets[bucket_of(right / n, config)] += chance
            else:
                left[n, right] = chance
    return samples, buckets


def test_adaptive_sampling_spares_samples_and_calls_fewer_problems_absent():
    """Prints the table of docs/data-engine.md with `pytest -s`."""
    arms = {"4 to 16": DiagnoseConfig(), "K = 8": DiagnoseConfig(samples=8, max_samples=8)}
    arms["K = 16"] = DiagnoseConfig(samples=16)
    for rate in (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 0.9, 1.0):
        found = {name: outcome(rate, config) for name, config in arms.items()}
        cells = [
            f"{samples:.1f} samples, absent {100 * buckets[Bucket.ABSENT]:.0f} %, "
            f"mastered {100 * buckets[Bucket.MASTERED]:.0f} %"
            for samples, buckets in found.values()
        ]
        print(f"\nc = {rate}: " + " | ".join(cells), end="")
        (adaptive, mine), (_, eight), (_, sixteen) = found.values()
        assert sum(mine.values()) == pytest.approx(1)
        assert mine[Bucket.ABSENT] == pytest.approx(sixteen[Bucket.ABSENT])
        assert mine[Bucket.ABSENT] <= eight[Bucket.ABSENT] + 1e-9
        assert mine[Bucket.MASTERED] <= eight[Bucket.MASTERED] + 1e-9
        assert adaptive <= 16 + 1e-9 and (rate < 0.5 or adaptive <= 8 + 1e-9)
