"""`rise bench verify`: its pairs are what they say, and its rows count what it measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metis_rise.bench import verify
from metis_rise.bench.options import Options, check_options
from metis_rise.bench.verdict_pairs import FAMILIES, SIMPLE, make_completion, make_pair
from metis_rise.bench.verify import ASKED, SETTLED, Measured, measure, row
from metis_rise.errors import InputError
from metis_rise.types import AnswerType
from metis_rise.verifier.equivalence import equivalent
from metis_rise.verifier.extract import extract
from metis_rise.verifier.format import format_fault


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_are_the_same_in_every_call_and_differ_from_each_other(family: str):
    pairs = [make_pair(family, number) for number in range(300)]
    assert pairs == [make_pair(family, number) for number in range(300)]
    assert sum(pair.same for pair in pairs) == 150
    distinct = {(pair.gold, pair.answer, pair.choices) for pair in pairs}
    assert len(distinct) >= 295


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "calculus"])
def test_pairs_are_right_or_wrong_as_they_say(family: str):
    for number in range(100):
        pair = make_pair(family, number)
        same, _ = equivalent(pair.gold, pair.answer, pair.answer_type, pair.choices, symbolic=None)
        assert same == pair.same, pair


def test_completions_have_the_format_and_end_in_the_answer():
    for number in range(20):
        pair = make_pair(SIMPLE, number)
        text = make_completion(pair, number)
        assert format_fault(text) is None
        assert extract(text, choices=pair.choices).answer == pair.answer


def test_simple_pairs_have_every_type():
    assert {make_pair(SIMPLE, number).answer_type for number in range(20)} == set(AnswerType)


def test_rows_count_verdicts_and_take_medians_over_rounds():
    def one(turn: int, ours: float, theirs: float) -> Measured:
        verdicts = {"ours": True, "math_verify": turn == 1}
        return Measured("set", turn, True, verdicts, {"ours": ours, "math_verify": theirs}, asked=turn == 3)

    made = row("set", [one(1, 1, 3), one(1, 1, 5), one(2, 2, 2), one(3, 1, 8)])
    assert made["case"] == {"family": "set", "pairs": 4}
    assert made["ratio"] == {"math_verify": 4.0}
    assert made["spread"] == {"math_verify": [1.0, 8.0]}
    assert made["per_second"] == {"ours": 1.0, "math_verify": 0.25}
    assert made["fallback_share"] == 0.25
    assert made["wrong"] == {"ours": 0, "math_verify": 2}
    assert made["different"] == 2


def test_what_is_printed():
    result = measure({SIMPLE: 4, "set": 2, "calculus": 2}, rounds=1)
    rows = {one["case"]["family"]: one for one in result["rows"]}
    assert list(rows) == [SIMPLE, "set", "calculus", SETTLED, ASKED]
    assert rows["set"]["fallback_share"] == 0.0
    assert rows["calculus"]["fallback_share"] > 0
    assert rows[ASKED]["fallback_share"] == 1.0
    # Simple pairs are a measurement of their own.
    assert rows[SETTLED]["case"]["pairs"] + rows[ASKED]["case"]["pairs"] == 4
    assert all(one["wrong"]["ours"] == 0 for one in rows.values())
    assert result["environment"]["math-verify"]
    assert verify.table(result["rows"]).row_count == 5


@pytest.mark.parametrize(
    "changed", [{"everything": True}, {"ragged": True}, {"against": "trl"}, {"threads": 2}, {"memory": False}]
)
def test_options_of_other_measurements_are_refused(changed: dict[str, object]):
    check_options("verify", Options())
    with pytest.raises(InputError, match="not of verify"):
        check_options("verify", replace(Options(), **changed))
