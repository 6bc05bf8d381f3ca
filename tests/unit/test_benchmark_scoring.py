"""Predictions become verdicts by whole groups; what is missing is left out and named, never counted as wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from fake_benchmark import Fake

from metis_rise.benchmarks.base import Benchmark, Item, Prediction, Protocol, Row
from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.benchmarks.result import result, subset
from metis_rise.benchmarks.scoring import Scores, score, verdict, verdict_rows
from metis_rise.errors import InputError
from metis_rise.types import Reason, Verdict

BENCHMARK = Fake()


class WithRules(Fake):
    """Its authors take the last word."""

    def own_extraction(self, item: Item, text: str) -> str | None:
        return text.split()[-1] if text else None


class Words:
    """A judge that says right to texts with "yes"."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def verdicts(self, benchmark: Benchmark, answers: Iterable[tuple[Item, str]]) -> Iterator[Verdict]:
        for item, text in answers:
            self.asked.append(item.index)
            yield Verdict("yes" in text, False, text, "judge")

    def record(self) -> Mapping[str, Any]:
        return {"model": "words"}


def items(*pairs: str) -> list[Item]:
    """Two rows of each pair; the answer to row n is n."""
    names = [pair for pair in pairs for _ in range(2)]
    return [
        BENCHMARK.item(
            Row(str(n), {"question": "?", "answer": str(n), "pair": pair}, f"data.tsv row {n + 1} index {n}")
        )
        for n, pair in enumerate(names)
    ]


def answer(index: str, *texts: str, **more: Any) -> Prediction:
    return Prediction(index, texts, f"p.tsv row {index}", **more)


def scored(found: Scores) -> dict[str, list[bool]]:
    return {one.item.index: [each.correct for each in one.verdicts] for one in found.scored}


def test_the_rule_protocol_judges_the_text():
    found = score(BENCHMARK, items("a"), [answer("0", r"\boxed{0}"), answer("1", "The answer is 7.")], Protocol.RULE)
    assert scored(found) == {"0": [True], "1": [False]}
    assert (found.total, found.samples, found.left_out, found.strangers) == (2, 1, (), ())


def test_a_group_without_one_prediction_is_left_out_and_named():
    found = score(BENCHMARK, items("a", "b"), [answer("0", "0"), answer("2", "2"), answer("3", "3")], Protocol.RULE)
    assert list(scored(found)) == ["2", "3"]
    (left,) = found.left_out
    assert (left.group, left.rows, left.why) == ("a", 2, "no prediction for index 1")
    assert subset(BENCHMARK, found) == "2/4"


def test_a_group_that_lacks_a_row_is_left_out_though_all_its_rows_are_answered():
    found = score(BENCHMARK, items("a")[:1], [answer("0", "0")], Protocol.RULE)
    assert (found.scored, found.left_out[0].why) == ((), "1 rows")


def test_an_empty_answer_is_wrong_and_told():
    found = score(BENCHMARK, items("a"), [answer("0", " "), answer("1", "1")], Protocol.RULE)
    assert (scored(found)["0"], found.empty) == ([False], ("0",))


def test_predictions_for_other_rows_are_told_and_do_not_count():
    predictions = [answer("0", "0"), answer("1", "1"), answer("77", "1", "2")]
    found = score(BENCHMARK, items("a"), predictions, Protocol.RULE)
    assert (found.strangers, found.samples, len(found.scored)) == (("77",), 1, 2)


def test_a_row_with_fewer_samples_than_others_is_missing():
    predictions = [answer("0", "0", "0"), answer("1", "1", "9"), answer("2", "2"), answer("3", "3", "3")]
    found = score(BENCHMARK, items("a", "b"), predictions, Protocol.RULE)
    assert scored(found) == {"0": [True, True], "1": [True, False]}
    assert found.left_out[0].why == "too few samples of index 2"


def test_the_official_protocol_takes_the_extraction_that_is_given():
    predictions = [answer("0", "so it is 1", extraction="0"), answer("1", "1", extraction="")]
    assert scored(score(BENCHMARK, items("a"), predictions, Protocol.OFFICIAL)) == {"0": [True], "1": [False]}


def test_the_official_protocol_extracts_by_the_authors_rules():
    rules = WithRules()
    found = [verdict(rules, items("a")[0], text, Protocol.OFFICIAL) for text in ("it is 0", "it is 1", "")]
    assert [(each.correct, each.extracted, each.code) for each in found] == [
        (True, "0", Reason.RIGHT),
        (False, "1", Reason.DIFFERENT),
        (False, None, Reason.NO_ANSWER),
    ]


def test_the_official_protocol_needs_an_extraction_where_the_authors_use_a_model():
    with pytest.raises(InputError, match=r"row 1 index 0.*column `extraction`.*--protocol rule or judge"):
        score(BENCHMARK, items("a"), [answer("0", "0"), answer("1", "1")], Protocol.OFFICIAL)


def test_a_judge_is_asked_only_about_whole_groups_and_in_order():
    judge = Words()
    predictions = [answer("2", "yes", "no"), answer("3", "no", "yes"), answer("0", "yes", "yes")]
    found = score(BENCHMARK, items("a", "b"), predictions, Protocol.JUDGE, judge)
    assert scored(found) == {"2": [True, False], "3": [False, True]}
    assert judge.asked == ["2", "2", "3", "3"]


def test_verdicts_that_are_given_need_no_text():
    predictions = [answer("0", verdict=True), answer("1", verdict=False), answer("2", verdict=True), answer("3")]
    found = score(BENCHMARK, items("a", "b"), predictions, None)
    assert scored(found) == {"0": [True], "1": [False]}
    assert found.left_out[0].why == "no prediction for index 3"
    assert result(BENCHMARK, found, ProtocolRecord()).agreement is None


def test_others_verdicts_are_compared_with_ours():
    predictions = [
        answer("0", "0", verdict=False),
        answer("1", "5", verdict=True),
        answer("2", "2", verdict=True),
        answer("3", "3"),
    ]
    agreement = result(
        BENCHMARK, score(BENCHMARK, items("a", "b"), predictions, Protocol.RULE), ProtocolRecord()
    ).agreement
    assert agreement is not None
    assert (agreement.n, agreement.agree, agreement.only_ours, agreement.only_theirs) == (3, 1, ("0",), ("1",))


def test_the_truncated_share_is_of_the_answers_that_are_known_to_have_ended_or_not():
    predictions = [answer("0", "0", "1", ended=(True, False)), answer("1", "1", "1", ended=(True, None))]
    assert score(BENCHMARK, items("a"), predictions, Protocol.RULE).truncated == pytest.approx(1 / 3)
    assert score(BENCHMARK, items("a"), [answer("0", "0"), answer("1", "1")], Protocol.RULE).truncated is None


def test_verdict_rows_name_the_item_and_what_was_said_of_it():
    predictions = [answer("0", r"\boxed{0}", verdict=True), answer("1", r"\boxed{4}")]
    first, second = verdict_rows(score(BENCHMARK, items("a"), predictions, Protocol.RULE))
    assert (first["index"], first["group"], first["gold"], first["given"]) == ("0", "a", "0", True)
    assert "given" not in second
    assert [each["correct"] for each in second["verdicts"]] == [False]
    assert second["verdicts"][0]["extracted"] == "4"


def test_a_whole_set_is_no_subset_and_a_file_of_ones_own_is_measured_by_itself():
    answers = [answer(str(n), str(n)) for n in range(4)]
    whole = score(BENCHMARK, items("a", "b"), answers, Protocol.RULE)
    assert result(BENCHMARK, whole, ProtocolRecord()).complete
    own = type("Own", (Fake,), {"known": None})()
    assert subset(own, whole) is None
    assert subset(own, score(own, items("a"), answers, Protocol.RULE, rows=4)) == "2/4"
