"""DynaMath: short answers, what counts as right, seeds that are worth nothing unless all ten variants are right."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.benchmarks.base import Item, Row
from metis_rise.benchmarks.dynamath import DynaMath
from metis_rise.benchmarks.short_answer import find_short_answer
from metis_rise.errors import InputError
from metis_rise.types import AnswerType

PI = "\u03c0"
DYNAMATH = DynaMath()


def item(answer: str, kind: str = "float", question: str = "How much?", **cells: str) -> Item:
    base = {"qid": "7", "varid": "1", "subject": "algebra", "knowledge_level": "high school"}
    row = base | {"question": question, "answer": answer, "answer_type": kind} | cells
    return DYNAMATH.item(Row("7", row, "DynaMath.tsv row 2 index 7"))


def seed(qid: str = "7", variants: tuple[int, ...] = tuple(range(1, 11)), **cells: str) -> list[Item]:
    return [
        DYNAMATH.item(
            Row(f"{qid}-{k}", item("1", qid=qid, varid=str(k), **cells).row.cells, f"DynaMath.tsv row {k} index {k}")
        )
        for k in variants
    ]


def as_json(value: object, ascii_only: bool = False) -> str:
    return json.dumps({"solution": "so we add", "short answer": value}, indent=4, ensure_ascii=ascii_only)


@pytest.mark.parametrize(
    ("right", "worst", "mean"),
    [
        (range(10), 1.0, 1.0),
        (range(9), 0.0, 0.9),
        (range(1, 10), 0.0, 0.9),
        ((3,), 0.0, 0.1),
        ((), 0.0, 0.0),
    ],
)
def test_one_wrong_variant_takes_the_seed_but_a_tenth_of_the_average(right, worst: float, mean: float):
    items = seed()
    marks = {each.index: place in right for place, each in enumerate(items)}
    found = {headline.name: headline.worth(items, marks) for headline in DYNAMATH.headlines}
    assert found == {"worst case": worst, "average": pytest.approx(mean)}


def test_the_leaderboards_number_comes_first_and_is_broken_down_by_subject_and_level():
    assert DYNAMATH.headlines[0].name == "worst case"
    assert {headline.by for headline in DYNAMATH.headlines} == {("subject", "level")}
    assert item("1").labels == {"subject": ("algebra",), "level": ("high school",)}
    assert item("1", subject="").labels["subject"] == ()


def test_a_seed_is_the_same_whether_its_number_is_whole_or_a_float():
    assert DYNAMATH.group(item("1", qid="7.0").row) == DYNAMATH.group(item("1").row) == "7"


def test_a_seed_is_whole_with_each_of_ten_variants_once():
    assert DYNAMATH.whole(seed()) is None
    assert DYNAMATH.whole(list(reversed(seed()))) is None
    assert DYNAMATH.whole(seed(variants=(1, 2, 4, 5, 6, 7, 8, 10))) == "no variant 3, 9"
    assert DYNAMATH.whole([*seed(variants=(*range(1, 10),)), *seed(variants=(9,))]) == (
        "no variant 10; more than one variant 9"
    )
    assert {each.group for each in seed("12")} == {"12"}


@pytest.mark.shared_data
def test_the_authors_table_gives_their_figures(shared_data: Path):
    table = shared_data / "fixtures" / "dynamath_Qwen2-7B.csv"
    worst, mean = [], []
    with table.open(encoding="utf-8", newline="") as file:
        for row in (each for each in csv.DictReader(file) if each["Question ID"].startswith("Q")):
            items = seed(row["Question ID"])
            marks = {each.index: row[f"Variant {each.row['varid']}"] == "correct" for each in items}
            worst.append(DYNAMATH.headlines[0].worth(items, marks))
            mean.append(DYNAMATH.headlines[1].worth(items, marks))
    assert len(worst) == 501
    assert (round(100 * sum(mean) / 501, 2), round(100 * sum(worst) / 501, 2)) == (42.14, 13.77)


@pytest.mark.parametrize(
    ("gold", "response", "right"),
    [
        ("0.2353", as_json("0.235"), True),
        ("0.2353", as_json("0.233"), False),
        ("12", as_json(12.001), True),
        ("12", as_json(12.0011), False),
        ("0", as_json(0), True),
        ("2.1", as_json("2.14"), False),
        ("2.1", r"\boxed{2.14}", False),
        ("2.1", r"<think>So it is.</think><answer>\boxed{2.1008}</answer>", True),
        ("0.2353", as_json("4/17"), True),
        ("6.2832", as_json(f"2{PI}"), True),
        ("2.0944", as_json(f"2{PI}/3"), True),
        ("6.2832", r'{"solution": "C = 2 \pi r", "short answer": "$2\pi$"}', True),
        ("3.4641", '{"solution": "the "root"", "short answer": "2\\sqrt{3} cm"}', True),
        ("0.5", as_json("50%"), True),
        ("58", as_json("58°"), True),
        ("58", "The angle is 58 degrees.", True),
        ("58", '<think>{"short answer": "58"}</think> I am not sure.', False),
        ("58", as_json("57") + " No: " + as_json("58"), True),
        ("58", as_json(""), False),
        ("58", as_json(None) + " The answer is 58.", True),
        ("58", "I cannot tell.", False),
    ],
)
def test_rule_for_numbers(gold: str, response: str, right: bool):
    assert DYNAMATH.rule(item(gold), response).correct is right


CHOICE = "Is it even? Choices: (A) yes (B) no (C) neither"


@pytest.mark.parametrize(
    ("response", "right"),
    [
        (as_json("B"), True),
        (as_json("(B) no"), True),
        (as_json("no"), True),
        (as_json("A"), False),
        (as_json("A or B"), False),
        (r"<think>It is odd.</think><answer>\boxed{B}</answer>", True),
        (r"<think>It is odd.</think><answer>\boxed{yes}</answer>", False),
        ("The answer is B.", True),
    ],
)
def test_rule_for_choices(response: str, right: bool):
    assert DYNAMATH.rule(item("B", "multiple choice", CHOICE), response).correct is right


@pytest.mark.parametrize(
    ("gold", "response", "right"),
    [
        ("Sep", as_json("Sep"), True),
        ("Sep", as_json("Oct"), False),
        ("4:45", as_json("4:45"), True),
        ("4:45", as_json("4:54"), False),
        ("Sep", as_json(""), False),
    ],
)
def test_rule_for_texts(gold: str, response: str, right: bool):
    assert DYNAMATH.rule(item(gold, "text"), response).correct is right


def test_a_verdict_says_what_it_read_and_whether_the_response_is_well_formed():
    plain = DYNAMATH.rule(item("5"), as_json("5 cm"))
    assert (plain.extracted, plain.well_formed) == ("5 cm", False)
    assert plain.rule.startswith("short answer")
    assert plain.reason == "number, at most 0.001 away"
    assert DYNAMATH.rule(item("5"), r"<think>2 + 3</think><answer>\boxed{5}</answer>").well_formed


@given(gold=st.decimals("-999", "999", places=4), step=st.integers(-20, 20))
def test_numbers_count_up_to_a_thousandth_away_both_sides_included(gold: Decimal, step: int):
    answer = gold + step * Decimal("0.0001")
    assert DYNAMATH.rule(item(f"{gold:f}"), as_json(f"{answer:f}")).correct is (abs(step) <= 10)


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"], exclude_characters="\\")))
def test_a_short_answer_is_found_whatever_it_says(said: str):
    for ascii_only in (False, True):
        assert find_short_answer("Sure!\n```json\n" + as_json(said, ascii_only) + "\n```") == said.strip()


def test_a_short_answer_can_always_be_written_down():
    assert find_short_answer(as_json("\U0001f600", ascii_only=True)).encode() == rb"\ud83d\ude00"


@given(st.text(max_size=60))
def test_no_response_breaks_the_readers(tail: str):
    for kind in ("float", "multiple choice", "text"):
        asked = item("A", kind)
        for text in (tail, f'{{"short answer": {tail}}}', f'{{"short answer": "{tail}"}}', "[" * 5000 + tail):
            DYNAMATH.rule(asked, text)
            DYNAMATH.official(asked, DYNAMATH.own_extraction(asked, text) or "")


@pytest.mark.parametrize(
    ("kind", "gold", "response", "taken", "right"),
    [
        ("float", "3", as_json("3.0005 cm"), "3.0005 cm", True),
        ("float", "3", as_json("3.0011"), "3.0011", False),
        ("float", "6.2832", as_json(f"2{PI}"), f"2{PI}", True),
        # π alone is no number there, and what stands behind it is not read.
        ("float", "3.1416", as_json(PI), None, False),
        ("float", "2.0944", as_json(f"2{PI}/3"), f"2{PI}/3", False),
        # A JSON number is no string, and the whole response is no number.
        ("float", "3", as_json(3), None, False),
        ("float", "3", "3", "3", True),
        ("float", "3", "3 is the answer", "3 is the answer", True),
        ("float", "3", "The answer is 3", None, False),
        ("float", "0.5", as_json("1/2"), None, False),
        ("multiple choice", "B", as_json("b"), "b", True),
        ("multiple choice", "B", as_json("Option B"), "Option B", True),
        # The letters of a word count: the only one of A to E in "yes" is E.
        ("multiple choice", "A", as_json("yes"), "yes", False),
        ("multiple choice", "E", as_json("yes"), "yes", True),
        # Two letters: then the gold one among the first three characters of the response is enough.
        ("multiple choice", "B", "B: it cannot be A", "B: it cannot be A", True),
        ("multiple choice", "A", "B: it cannot be A", "B: it cannot be A", False),
        ("text", "September", as_json("sep"), "sep", True),
        ("text", "Sep", as_json("September"), "September", False),
        ("text", "Sep", as_json(""), "", False),
    ],
)
def test_official(kind: str, gold: str, response: str, taken: str | None, right: bool):
    asked = item(gold, kind)
    assert DYNAMATH.own_extraction(asked, response) == taken
    assert (taken is not None and DYNAMATH.official(asked, taken)) is right


def test_a_judge_is_asked_where_the_authors_rules_read_nothing():
    choice = item("B", "multiple choice")
    assert DYNAMATH.quick(choice, "B: it cannot be A") is None
    assert DYNAMATH.quick(choice, as_json("B")) == "B"
    assert DYNAMATH.quick(item("3"), "The answer is 3") is None
    assert DYNAMATH.quick(item("Sep", "text"), "It is September") == "It is September"


def test_options_in_the_question_become_choices():
    found = item("B", "multiple choice", CHOICE).problem
    assert (found.question, found.choices) == ("Is it even?", ("yes", "no", "neither"))
    assert (found.answer_type, found.answer, found.id) == (AnswerType.CHOICE, "B", "7")
    assert item("3", question="Which one? Choices: (A) 3 (B) 4").problem.choices is None


def test_the_vlmevalkit_prompt_asks_for_json_by_kind_of_answer():
    prompts = {kind: item("A", kind, "Is {instruction} it?").prompt for kind in ("float", "multiple choice", "text")}
    assert all(prompt.startswith("## Question\n Is {instruction} it?\n## Answer") for prompt in prompts.values())
    for prompt in prompts.values():
        assert set(json.loads(prompt[prompt.index("{\n") :])) == {"solution", "short answer"}
    assert "three-digit floating-point number and provide" in prompts["float"]
    assert "'A', 'B', 'C', or 'D'." in prompts["multiple choice"]
    assert len(set(prompts.values())) == 3


@pytest.mark.parametrize(
    ("column", "value"),
    [("answer", ""), ("question", " "), ("answer_type", "number"), ("varid", "11"), ("varid", "one"), ("qid", "")],
)
def test_bad_cells_are_named(column: str, value: str):
    with pytest.raises(InputError, match=rf"DynaMath.tsv row 2 index 7.*{column}"):
        DYNAMATH.item(Row("7", item("1").row.cells | {column: value}, "DynaMath.tsv row 2 index 7"))
