"""Wilson's interval and the words that are built on it."""

from __future__ import annotations

import pytest

from metis_rise.report.data import Score, Summary
from metis_rise.report.statistics import wilson
from metis_rise.report.text import duration, headline, number, verdict_sentences


def score(accuracy: float, low: float, high: float) -> Score:
    return Score(accuracy, low, high, 100)


def summary(*scores: Score, arms: tuple[str, ...] = ("base", "rl", "rise")) -> Summary:
    return Summary("tiny", {arm: {"greedy": s} for arm, s in zip(arms, scores, strict=False)}, {}, None)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # By hand for 5 of 10: centre 0.5; half = 1.96 sqrt(0.025 + 3.8416 / 400) / 1.38416 = 0.26340.
        (5, 10, 0.23660, 0.76340),
        # By hand for 0 of 10: low = 0, high = 3.8416 / (10 + 3.8416) = 0.27754; 10 of 10 mirrors it.
        (0, 10, 0.0, 0.27754),
        (10, 10, 0.72246, 1.0),
        # By hand for 81 of 263 (Newcombe 1998, table I, method 3: 0.2553 to 0.3662).
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_matches_values_worked_by_hand(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_no_trials_knows_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(-1, 10), (11, 10), (0, -1)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, n)


def test_sentences_call_a_rise_a_rise_only_outside_both_intervals() -> None:
    found = verdict_sentences(summary(score(0.31, 0.28, 0.35), score(0.463, 0.42, 0.5), score(0.48, 0.45, 0.52)))
    assert found == [
        (1, "RL raised greedy accuracy from 31.0 % to 46.3 % (intervals do not overlap)."),
        (0, "Targeted SFT did not change greedy accuracy beyond noise: from 46.3 % to 48.0 % (intervals overlap)."),
    ]


def test_sentences_and_headline_admit_a_fall() -> None:
    fallen = summary(score(0.6, 0.55, 0.65), score(0.4, 0.35, 0.45))
    assert verdict_sentences(fallen) == [
        (-1, "RL lowered greedy accuracy from 60.0 % to 40.0 % (intervals do not overlap).")
    ]
    assert headline(fallen) == "No step rose beyond noise, 1 fell."


def test_touching_intervals_overlap() -> None:
    assert verdict_sentences(summary(score(0.3, 0.2, 0.4), score(0.5, 0.4, 0.6)))[0][0] == 0


def test_headline_counts_the_steps_that_rose() -> None:
    low, middle, high = score(0.1, 0.0, 0.2), score(0.4, 0.3, 0.5), score(0.8, 0.7, 0.9)
    assert headline(summary(low, middle, high)) == "Every step rose beyond noise."
    assert headline(summary(low, middle, middle)) == "1 of 2 comparisons rose beyond noise."
    assert headline(summary(low)) == "There is nothing to compare yet: base evaluated."


def test_without_an_rl_arm_the_rise_belongs_to_the_whole_run() -> None:
    found = verdict_sentences(summary(score(0.1, 0.0, 0.2), score(0.8, 0.7, 0.9), arms=("base", "rise")))
    assert found[0][1].startswith("The whole run raised greedy accuracy")


def test_numbers_and_durations_read_well() -> None:
    assert [number(x) for x in (0.000173, 1234567.0, 12.0, 0.5)] == ["0.000173", "1,234,567", "12", "0.5"]
    assert [duration(x) for x in (None, 46.52, 245, 7320)] == ["-", "46.5 s", "4 min 05 s", "2 h 02 min"]
