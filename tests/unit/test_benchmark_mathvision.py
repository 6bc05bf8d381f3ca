"""MathVision: items, MATH-V's own rules, VLMEvalKit's, ours."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.benchmarks.base import Item, Row
from metis_rise.benchmarks.mathvision import MathVision
from metis_rise.benchmarks.mathvision_rules import extract, number, same, same_exactly, tidy
from metis_rise.errors import InputError
from metis_rise.types import AnswerType

BENCHMARK = MathVision()
CHOICE = {
    "question": "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, E, at the "
    "end.\nQuestion: How long is it? <image1>\nChoices:\n(A) $\\sqrt{2}$\n(B) 3\n(C) <image2>",
    "choices": str(["$\\sqrt{2}$", "3", "<image2>"]),
    "answer": "A",
    "category": "metric geometry - length",
    "level": "4",
}
FREE = CHOICE | {"question": "Count <image1> and <image2>.", "choices": "[]", "answer": "12"}


def item(cells: dict[str, str], images: tuple[str, ...] = ("key",), **changes: str) -> Item:
    return BENCHMARK.item(Row("9", cells | changes, "vision.tsv row 2 index 9", images))


def test_a_choice_becomes_an_item():
    found = item(CHOICE)
    problem = found.problem
    assert (problem.question, problem.answer, problem.level) == ("How long is it? <image1>", "A", 4)
    assert problem.choices == ("$\\sqrt{2}$", "3", "image 2")
    assert problem.images == ("key",)
    assert found.prompt == CHOICE["question"]
    assert found.labels == {"subject": ("metric geometry - length",), "level": ("4",)}


def test_a_file_without_levels():
    found = item(CHOICE, level="")
    assert (found.problem.level, found.labels["level"]) == (0, ())


def test_marks_for_pictures_that_are_not_there_become_words():
    assert item(FREE).problem.question == "Count image 1 and image 2."


def test_a_free_question_is_typed_by_its_gold_answer():
    assert item(FREE).problem.answer_type is AnswerType.NUMBER
    assert item(FREE, answer="7:3").problem.answer_type is not AnswerType.CHOICE


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"choices": "['one']"}, "choices"),
        ({"answer": "D"}, "answer"),
        ({"answer": ""}, "answer"),
        ({"level": "x"}, "level"),
    ],
)
def test_bad_cells_are_named(changes: dict[str, str], column: str):
    with pytest.raises(InputError, match=re.escape(f"vision.tsv row 2 index 9: column {column!r}")):
        item(CHOICE, **changes)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("B", "b"),
        ("I think that it must be (C).", "c"),
        ("(D) D\nbecause it is", "d"),
        ("There are 12 of them, so x is 12.", "12"),
        ("The correct answer is (B). It fits.", "b"),
        ("the final answer is: 3\nfor sure", "3"),
        (r"First \boxed{A}, no: \boxed{\text{(B)}}", "b"),
        (r"\boxed{\text{(E) } 22}", "e22"),
        (r"Thus $x = \boxed{90^{\circ}}$.", "90"),
        (r"\boxed{\frac1{\sqrt2}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{1/2}", r"\frac{1}{2}"),
        (r"\boxed{0.5}", r"\frac{1}{2}"),
        (r"\boxed{.25\,\text{ km}}", "0.25"),
        (r"\boxed{x = 3}", "3"),
        (r"\boxed{7 km}", "7"),
        ("No idea at all", "noideaatall"),
        ("", ""),
    ],
)
def test_math_vs_extraction(response: str, answer: str):
    assert extract(response) == answer


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("1/60", "1/55", True),  # loose, as its authors have it
        ("$\\sqrt{2}$", "1.41", True),
        ("$10 \\pi$", "31.42", True),
        ("$1: 4$", "0.25", True),
        ("3\\frac{1}{2}", "1.5", True),  # a product there
        ("5!", "120", True),
        ("1,000", "1000", True),
        (r"\frac12", "0.5", False),  # its parser wants the braces
        ("(1,1/2)", "(1,0.5)", True),
        ("(1,2)", "(2,1)", False),
        ("(a,1/2)", "(a,0.5)", True),
        ("E", "2.72", False),
        ("$90^{\\circ}$", "90", False),
        ("2h 48m", "2h48m", False),
        ("12", "", False),
        ("12", "12.01", False),
        ("2^{2^{2^{2^{2^2}}}}", "3", False),
        ("", "", False),
    ],
)
def test_math_vs_comparison(gold: str, answer: str, right: bool):
    assert same(gold, answer) is right


@pytest.mark.parametrize(
    ("extraction", "right"),
    [
        *[(given, True) for given in ("a", "A", "(A)", r"\boxed{A}", r"$\sqrt{2}$", "1.414")],
        *[(given, False) for given in ("b", "a or b", "3", "", "Z", "a}{b")],
    ],
)
def test_official_verdict_is_by_letter_or_value(extraction: str, right: bool):
    assert BENCHMARK.official(item(CHOICE), extraction) is right


@pytest.mark.parametrize(
    ("cells", "extraction", "right"),
    [
        *[(CHOICE, given, True) for given in ("A", "(A)")],
        *[(CHOICE, given, False) for given in ("B", "1.414", "A or B", "Z", "")],
        (FREE | {"answer": "1/60"}, "1/60", True),
        (FREE | {"answer": "1/60"}, "0.01666667", True),
        (FREE | {"answer": "1/60"}, "1/55", False),
        (FREE | {"answer": "1/60"}, "0.0167", False),
        (FREE | {"answer": "0"}, "0.0", True),
    ],
)
def test_what_a_judge_extracts_is_compared_as_on_the_leaderboard(cells: dict[str, str], extraction: str, right: bool):
    assert BENCHMARK.judged(item(cells), extraction) is right


def test_the_authors_take_something_out_of_every_response():
    assert BENCHMARK.own_extraction(item(FREE), "It is 12.") == "12"
    assert BENCHMARK.official(item(FREE), "12")


@pytest.mark.parametrize(
    ("cells", "text", "found"),
    [
        (CHOICE, "It is (B)", "B"),
        (CHOICE, "(A) or (B)", None),
        (FREE, "12", "12"),
        (FREE, "12.0", "12.0"),
        (FREE, "12.001", None),
        (FREE, "It is 12", None),
    ],
)
def test_vlmevalkits_rules(cells: dict[str, str], text: str, found: str | None):
    assert BENCHMARK.quick(item(cells), text) == found


def test_vlmevalkit_compares_exactly():
    assert same_exactly("1/60", "0.0166666667") and not same_exactly("1/60", "1/55")
    assert same_exactly("Red", " red ")


@pytest.mark.parametrize(
    ("cells", "text", "right"),
    [
        (CHOICE, r"<think>a</think><answer>$\boxed{A}$</answer>", True),
        (CHOICE, r"\boxed{\sqrt{2}}", True),
        (CHOICE, "It is 3.", False),
        (FREE, r"\boxed{12}", True),
        (FREE, r"\boxed{12.004}", False),
    ],
)
def test_our_rule(cells: dict[str, str], text: str, right: bool):
    assert BENCHMARK.rule(item(cells), text).correct is right


SIGNS = st.text(alphabet=r"0123456789+-*/^(){}[].,:=! \$_abcefinopqrstx" + "\n", max_size=60)


@given(SIGNS)
def test_nothing_breaks_the_rules(text: str):
    assert number(text) is None or same(text, text)
    assert "$" not in extract(text) and " " not in tidy(text)


@given(st.fractions(-1000, 1000, max_denominator=50))
def test_numbers_have_their_values(value):
    assert number(f"\\frac{{{value.numerator}}}{{{value.denominator}}}") == float(value)
    assert number(f"{value.numerator}:{value.denominator}") == float(value)


@pytest.mark.shared_data
def test_the_authors_extraction_on_their_own_outputs(shared_data: Path):
    lines = (shared_data / "fixtures" / "mathvision_scored.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["id"] for r in records if extract(r["response"]) != r["model_answer"]] == []
