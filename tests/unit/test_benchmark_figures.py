"""Headlines, breakdowns, intervals and several samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from fake_benchmark import Fake
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_rise.benchmarks.base import Headline, Item, Marks, Row, Scored
from metis_rise.benchmarks.figures import figures, interval
from metis_rise.benchmarks.scoring import Scores
from metis_rise.types import AnswerType, Problem, Verdict


def all_right(items: Sequence[Item], marks: Marks) -> float:
    return float(all(marks[item.index] for item in items))


def mean(items: Sequence[Item], marks: Marks) -> float:
    return sum(marks.values()) / len(items)


def pairs_only(items: Sequence[Item], marks: Marks) -> float | None:
    return None if len(items) < 2 else mean(items, marks)


class Many(Fake):
    """Three headlines over groups of any size, and a further figure."""

    headlines = (
        Headline("worst", all_right, ("colour",)),
        Headline("average", mean),
        Headline("pairs", pairs_only, ("colour",)),
    )

    def more(self, scored: Sequence[tuple[Item, bool]]) -> Mapping[str, float]:
        return {"right": 100 * sum(right for _, right in scored) / len(scored)}


def scores(*rows: tuple[str, str, tuple[bool, ...]], samples: int = 1) -> Scores:
    """Rows of (group, colours, verdicts)."""
    made = []
    for number, (group, colours, rights) in enumerate(rows):
        index = str(number)
        problem = Problem(index, "?", "1", AnswerType.NUMBER)
        labels = {"colour": tuple(colours.split())}
        item = Item(index, group, problem, "", labels, Row(index, {}, "here"))
        made.append(Scored(item, tuple(Verdict(right, True, "1", "rule") for right in rights)))
    return Scores(tuple(made), (), len(made), samples)


TWO = scores(("a", "red", (True,)), ("a", "red", (True,)), ("b", "red blue", (True,)), ("b", "red blue", (False,)))


def test_a_headline_is_the_mean_over_groups_in_percent():
    found = figures(Many(), TWO)
    assert (found.n, found.score) == (4, 50.0)
    assert {name: (each.score, each.groups) for name, each in found.headlines.items()} == {
        "worst": (50.0, 2),
        "average": (75.0, 2),
        "pairs": (75.0, 2),
    }
    assert found.more == {"right": 75.0}


def test_a_group_counts_in_each_value_of_its_labels_and_not_where_it_is_worth_nothing_at_all():
    found = figures(Many(), scores(("a", "red", (True,)), ("b", "red blue", (False,)), ("c", "", (True,))))
    assert {value: (each.score, each.groups) for value, each in found.breakdowns["worst"]["colour"].items()} == {
        "blue": (0.0, 1),
        "red": (50.0, 2),
    }
    assert found.breakdowns["average"] == {}
    assert "pairs" not in found.headlines


def test_without_a_scored_row_there_is_no_score():
    assert figures(Many(), scores()).score is None


def test_samples_give_the_mean_and_the_best():
    # By sample the group is worth 1, 0 (worst) and 1, 1/2 (average); item by item one sample of each is right.
    found = figures(Many(), scores(("a", "red", (True, True)), ("a", "red", (True, False)), samples=2))
    assert (found.headlines["worst"].score, found.headlines["worst"].best) == (50.0, 100.0)
    assert (found.headlines["average"].score, found.headlines["average"].best) == (75.0, 100.0)
    assert found.more == {"right": 75.0}
    plain = found.to_json()
    assert (plain["samples"], plain["headlines"]["worst"]["pass@2"]) == (2, 100.0)


def test_best_takes_each_item_by_itself_whatever_the_pairing_of_samples():
    found = figures(Many(), scores(("a", "red", (True, False)), ("a", "red", (False, True)), samples=2))
    assert (found.headlines["worst"].score, found.headlines["worst"].best) == (0.0, 100.0)


def test_one_sample_has_no_pass_at_k():
    assert figures(Many(), TWO).headlines["worst"].best is None
    assert set(figures(Many(), TWO).to_json()["headlines"]["worst"]) == {"score", "low", "high", "groups"}


def test_the_interval_is_that_of_a_mean_of_many_groups():
    # A share of 1/2 in 400 trials: 1.96 standard errors are 0.049.
    low, high = interval([0.0, 1.0] * 200)
    assert low == pytest.approx(0.451, abs=0.01)
    assert high == pytest.approx(0.549, abs=0.01)
    assert interval([0.0, 1.0] * 200) == (low, high)


def test_rows_of_one_group_are_not_taken_for_independent():
    """Ten equal rows say no more than one: the interval is as wide as that of ten groups of one row."""
    rights = (True, False) * 5
    single = scores(*((str(n), "red", (right,)) for n, right in enumerate(rights)))
    tenfold = scores(*((str(n), "red", (right,)) for n, right in enumerate(rights) for _ in range(10)))
    one, ten = (figures(Many(), each).headlines["average"] for each in (single, tenfold))
    assert (one.low, one.high) == (ten.low, ten.high)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_interval_lies_within_the_values(values: list[float]):
    low, high = interval(values)
    slack = 1e-9
    assert min(values) - slack <= low <= high <= max(values) + slack
    if len(set(values)) == 1:
        assert low == pytest.approx(high)
