"""MathVerse: the question is in the picture, several letters and several lines are gold answers."""

from __future__ import annotations

import re

import pytest

from metis_rise.benchmarks.base import Item, Row
from metis_rise.benchmarks.mathverse import MathVerse
from metis_rise.errors import InputError
from metis_rise.types import AnswerType

BENCHMARK = MathVerse()
ROW = {
    "question": "See the picture, directly answer with the letter.",
    "query_cot": "See the picture, reason, then answer with the letter.",
    "question_for_eval": "Is the function even?\nChoices:\nA:Yes\nB:No\nC:Cannot be said",
    "answer": "B",
    "question_type": "multi-choice",
    "metadata": "{'split': 'testmini', 'source': 'x', 'subject': 'Functions', 'subfield': \"Function's graph\"}",
    "problem_version": "Vision Only",
}
FREE = ROW | {"question_type": "free-form", "question_for_eval": "Find it."}


def item(cells: dict[str, str], **changes: str) -> Item:
    return BENCHMARK.item(Row("5", cells | changes, "verse.tsv row 2 index 5", ("key",)))


def test_the_two_styles_and_the_labels():
    found = item(ROW)
    assert found.problem.question == ROW["query_cot"]
    assert found.prompt == ROW["question"]
    assert found.problem.choices is None  # they are in the picture only
    assert found.labels == {
        "subject": ("Functions",),
        "subfield": ("Function's graph",),
        "version": ("Vision Only",),
    }


def test_a_file_without_the_reasoning_instruction():
    assert item(ROW, query_cot="").problem.question == ROW["question"]


@pytest.mark.parametrize(
    ("cells", "gold", "answer", "kind"),
    [
        (ROW, "B", "B", AnswerType.CHOICE),
        (ROW, " c\n", "C", AnswerType.CHOICE),
        (ROW, "C\nD", "C, D", AnswerType.CHOICE),
        (ROW, "BD", "B, D", AnswerType.CHOICE),
        (FREE, "BD", "BD", AnswerType.TEXT),
        (ROW, "A:40°", "A", AnswerType.CHOICE),
        (ROW, "No", "B", AnswerType.CHOICE),
        (ROW, "40°", "40°", AnswerType.NUMBER),
        (FREE, "4.4 m", "4.4 m", AnswerType.TEXT),
        (FREE, "(0,0)", "(0,0)", AnswerType.TEXT),
        (FREE, "777 ", "777", AnswerType.NUMBER),
        (FREE, "Domain: $[0, 1)$\nRange: $(2, 3]$", "Domain: $[0, 1)$; Range: $(2, 3]$", AnswerType.TEXT),
    ],
)
def test_gold_answers(cells: dict[str, str], gold: str, answer: str, kind: AnswerType):
    problem = item(cells, answer=gold).problem
    assert (problem.answer, problem.answer_type) == (answer, kind)


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"metadata": "Functions"}, "metadata"),
        ({"question_type": "essay"}, "question_type"),
        ({"answer": ""}, "answer"),
        ({"question": ""}, "question"),
    ],
)
def test_bad_cells_are_named(changes: dict[str, str], column: str):
    with pytest.raises(InputError, match=re.escape(f"verse.tsv row 2 index 5: column {column!r}")):
        item(ROW, **changes)


@pytest.mark.parametrize(
    ("cells", "gold", "text", "right"),
    [
        (ROW, "B", r"<think>a</think><answer>\boxed{B}</answer>", True),
        (ROW, "B", r"\boxed{No}", True),
        (ROW, "B", r"\boxed{B: No}", True),
        (ROW, "B", r"\boxed{A: No}", False),
        (ROW, "B", "The answer is (A).", False),
        (ROW | {"question_for_eval": ""}, "B", "The answer is (B).", True),
        (ROW | {"question_for_eval": "Which?\nChoices:\nA:\nB:\nC:\nD:"}, "C\nD", r"\boxed{C, D}", True),
        (ROW, "C\nD", "C\nD", True),
        (ROW, "C\r\nD", "C\nD", True),
        (ROW, "C\nD", r"\boxed{C}", False),
        (ROW, "A:40°", r"\boxed{A}", True),
        (FREE, "4.4 m", r"\boxed{4.4}", True),
        (FREE, "4.4 m", r"\boxed{440\text{ cm}}", True),
        (FREE, "4.4 m", r"\boxed{4.4\text{ cm}}", False),
        (FREE, r"Surface Area $=109603.88 \mathrm{~mm}^{2}$", r"\boxed{109603.88}", True),
        (FREE, "(-2, 1]", r"\boxed{(-2, 1)}", False),
        (FREE, "Domain: $[0, 1)$\nRange: $(2, 3]$", r"\boxed{\text{Domain: }[0,1), \text{Range: }(2,3]}", True),
        (FREE, "Domain: $[0, 1)$\nRange: $(2, 3]$", r"\boxed{[0,1)}", False),
    ],
)
def test_our_rule(cells: dict[str, str], gold: str, text: str, right: bool):
    assert BENCHMARK.rule(item(cells, answer=gold), text).correct is right


def test_repeating_a_formula_of_the_question_in_the_picture_is_no_answer():
    found = item(FREE, answer="6", question_for_eval="What is $2 x + 3 y$ at $x = 0$, $y = 2$?")
    assert BENCHMARK.rule(found, r"\boxed{2x + 3y}").rule == "echo of the question"


def test_a_row_without_a_subfield_is_kept_and_only_missing_in_that_breakdown():
    for metadata in ("{'subject': 'Functions'}", "{'subject': 'Functions', 'subfield': None}"):
        labels = item(ROW, metadata=metadata).labels
        assert (labels["subject"], labels["subfield"]) == (("Functions",), ())


@pytest.mark.parametrize("kind", ["Multi-Choice", "multi_choice", " multi-choice "])
def test_the_type_of_a_question_in_any_spelling(kind: str):
    assert item(ROW, question_type=kind).problem.answer_type is AnswerType.CHOICE


def test_the_authors_quick_match_is_by_character():
    assert BENCHMARK.official(item(ROW), " B\n") and BENCHMARK.quick(item(ROW), "B") == "B"
    assert not BENCHMARK.official(item(ROW), "(B)") and BENCHMARK.quick(item(ROW), "It is B") is None
    assert BENCHMARK.own_extraction(item(ROW), "B") is None
