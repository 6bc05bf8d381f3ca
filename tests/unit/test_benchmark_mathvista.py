"""MathVista: items, the authors' normalisation, VLMEvalKit's rules, ours."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.benchmarks.base import Item, Row
from metis_rise.benchmarks.mathvista import MathVista, edit_distance
from metis_rise.errors import InputError
from metis_rise.types import AnswerType

BENCHMARK = MathVista()
CHOICE = {
    "question": "Hint: Please answer the question and provide the correct option letter, e.g., A, B, at the end.\n"
    "Question: Who has most?\nChoices:\n(A) Ann\n(B) Bob\n(C) nobody",
    "question_type": "multi_choice",
    "answer_type": "text",
    "choices": "['Ann', 'Bob', 'nobody']",
    "answer": "Bob",
    "answer_option": "B",
    "task": "math word problem",
    "skills": "['arithmetic reasoning', 'statistical reasoning']",
    "grade": "high school",
}
FREE = CHOICE | {"question": "How much? (Unit: $)", "question_type": "free_form", "choices": "[]", "answer_option": ""}


def item(cells: dict[str, str], **changes: str) -> Item:
    return BENCHMARK.item(Row("7", cells | changes, "vista.tsv row 2 index 7"))


def test_a_choice_becomes_an_item():
    found = item(CHOICE)
    problem = found.problem
    assert (problem.id, problem.question, problem.answer) == ("7", "Who has most?", "B")
    assert problem.choices == ("Ann", "Bob", "nobody")
    assert found.prompt == CHOICE["question"]
    assert found.labels["skill"] == ("arithmetic reasoning", "statistical reasoning")
    assert (found.labels["task"], found.labels["grade"]) == (("math word problem",), ("high school",))
    assert found.labels["context"] == ()


def test_the_gold_letter_is_found_where_the_file_has_none():
    assert item(CHOICE, answer_option="").problem.answer == "B"


def test_one_bare_skill_is_a_label():
    assert item(CHOICE, skills="logical reasoning").labels["skill"] == ("logical reasoning",)


@pytest.mark.parametrize(
    ("changes", "gold"),
    [
        ({"answer_type": "integer", "answer": "14"}, "14"),
        ({"answer_type": "integer", "answer": "14.0"}, "14"),
        ({"answer_type": "float", "answer": "0.5", "precision": "2.0"}, "0.50"),
        ({"answer_type": "float", "answer": "0.5", "question": "... with two decimal places ..."}, "0.50"),
        ({"answer_type": "float", "answer": "0.5"}, "0.5"),
        ({"answer_type": "float", "answer": "0.625", "precision": "1"}, "0.625"),
        ({"answer_type": "list", "answer": "[2007, 2008]"}, "[2007, 2008]"),
    ],
)
def test_gold_answers_of_free_questions(changes: dict[str, str], gold: str):
    problem = item(FREE, **changes).problem
    assert problem.answer == gold
    assert problem.answer_type is (AnswerType.TEXT if changes["answer_type"] == "list" else AnswerType.NUMBER)
    assert problem.choices is None


@pytest.mark.parametrize(
    ("cells", "changes", "column"),
    [
        (CHOICE, {"question_type": "essay"}, "question_type"),
        (CHOICE, {"choices": ""}, "choices"),
        (CHOICE, {"choices": "[1, 2"}, "choices"),
        (CHOICE, {"answer_option": "D"}, "answer_option"),
        (CHOICE, {"answer_option": "", "answer": "Eve"}, "answer"),
        (CHOICE, {"question": " "}, "question"),
        (FREE, {"answer_type": "colour"}, "answer_type"),
        (FREE, {"answer_type": "integer", "answer": "many"}, "answer"),
        (FREE, {"answer_type": "float", "answer": "1.5", "precision": "-1"}, "precision"),
        (FREE, {"answer_type": "float", "answer": "1.5", "precision": "1e9"}, "precision"),
    ],
)
def test_bad_cells_are_named(cells: dict[str, str], changes: dict[str, str], column: str):
    with pytest.raises(InputError, match=re.escape(f"vista.tsv row 2 index 7: column {column!r}")):
        item(cells, **changes)


@pytest.mark.parametrize(
    ("extraction", "right"),
    [
        *[(given, True) for given in ("B", "(b)", "(B) Ann", "Bob", "Bobby", "b")],
        *[(given, False) for given in ("A", "Bob is (C)", "none", "Z", "")],
    ],
)
def test_official_verdict_on_options(extraction: str, right: bool):
    # "b" and "" are no letters: the option with the smallest edit distance counts, the first of equal ones.
    assert BENCHMARK.official(item(CHOICE), extraction) is right


def test_a_letter_in_brackets_counts_in_lower_case_too():
    assert BENCHMARK.official(item(CHOICE, answer="nobody", answer_option="C"), "it is (c)")


def test_a_refusal_is_not_the_nearest_option():
    first = item(CHOICE, answer="Ann", answer_option="A")
    assert BENCHMARK.official(first, "Y") and not BENCHMARK.official(first, "Z")


@pytest.mark.parametrize(
    ("kind", "gold", "extraction", "right"),
    [
        ("integer", "14", "14", True),
        ("integer", "14", "14.7", True),
        ("integer", "14", " 14 ", True),
        ("integer", "14", "14 m", False),
        ("integer", "14", "1e400", False),
        ("integer", "14", "nan", False),
        ("float", "1.2", "1.24", True),
        ("float", "1.2", "1.26", False),
        ("float", "1.0", "1", True),
        ("float", "1.2", "about 1.2", False),
        ("list", "[2007, 2008]", "[2007, 2008]", True),
        ("list", "[2007, 2008]", "[2007,2008]", False),
    ],
)
def test_official_verdict_on_numbers_and_lists(kind: str, gold: str, extraction: str, right: bool):
    precision = "1" if kind == "float" else ""
    assert BENCHMARK.official(item(FREE, answer_type=kind, answer=gold, precision=precision), extraction) is right


def test_a_long_extraction_costs_nothing():
    assert BENCHMARK.official(item(CHOICE), "B" * 10_000_000) is False


@pytest.mark.parametrize(
    ("kind", "gold", "text", "found"),
    [
        ("integer", "14", " 14\n", "14"),
        ("integer", "0", "0", "0"),
        ("integer", "14", "15", None),
        ("integer", "14", "14.0", None),
        ("integer", "14", "It is 14", None),
        ("float", "1.50", "1.5", "1.5"),
        ("float", "1.50", "1.51", None),
        ("list", "[1, 2]", "[1, 2]", None),
    ],
)
def test_vlmevalkits_rules_take_a_number_only_where_it_is_the_gold_one(kind: str, gold: str, text: str, found: str):
    assert BENCHMARK.quick(item(FREE, answer_type=kind, answer=gold), text) == found


def test_vlmevalkits_rules_take_any_option():
    assert BENCHMARK.quick(item(CHOICE), "I say (A)") == "A"
    assert BENCHMARK.quick(item(CHOICE), "I say (A) or (B)") is None


@pytest.mark.parametrize(
    ("cells", "changes", "text", "right"),
    [
        (CHOICE, {}, r"<think>a</think><answer>\boxed{B}</answer>", True),
        (CHOICE, {}, r"<think>a</think><answer>\boxed{Bob}</answer>", True),
        (CHOICE, {}, "The answer is (A) Ann.", False),
        (CHOICE, {"question": "Is it (A) Ann, (B) Bob or (C) nobody here?"}, r"\boxed{Bob}", True),
        (FREE, {"answer_type": "float", "answer": "0.5", "precision": "2"}, r"\boxed{0.496}", True),
        (FREE, {"answer_type": "float", "answer": "0.5", "precision": "2"}, r"\boxed{0.52}", False),
        (FREE, {"answer_type": "integer", "answer": "14"}, "So the price is $14.", True),
        (FREE, {"answer_type": "integer", "answer": "14"}, "So the price is $14.70.", False),
        (FREE, {"answer_type": "list", "answer": "[2007, 2008]"}, "The peak was between 2007 and 2008.", True),
        (FREE, {"answer_type": "list", "answer": "[2007, 2008]"}, r"\boxed{[2007, 2008]}", True),
        (FREE, {"answer_type": "list", "answer": "[2007, 2008]"}, r"\boxed{[2008, 2007]}", False),
        (FREE, {"answer_type": "list", "answer": "[2007, 2008]"}, r"\boxed{2008, 2007}", False),
    ],
)
def test_our_rule(cells: dict[str, str], changes: dict[str, str], text: str, right: bool):
    assert BENCHMARK.rule(item(cells, **changes), text).correct is right


@pytest.mark.parametrize(
    ("first", "second", "distance"), [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("N/A", "Connor", 6)]
)
def test_edit_distance(first: str, second: str, distance: int):
    assert edit_distance(first, second) == distance == edit_distance(second, first)


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_edit_distance_is_a_distance(a: str, b: str, c: str):
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


def rules() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts" / "benchmark_rules.py"
    spec = importlib.util.spec_from_file_location("benchmark_rules", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.shared_data
def test_official_verdicts_and_the_script(shared_data: Path, capsys: pytest.CaptureFixture[str]):
    script = rules()
    for name in script.FILES:
        rows = list(script.judged(shared_data / "fixtures" / name))
        assert len(rows) >= 30
        assert [row.item.index for row in rows if row.official != row.authors] == []
        ours = sum(row.ours == row.authors for row in rows)
        theirs = sum((row.vlmevalkit is True) == row.authors for row in rows)
        assert ours > theirs
    script.main(shared_data / "fixtures")
    assert "official on the authors' extraction: 40 agree" in capsys.readouterr().out
