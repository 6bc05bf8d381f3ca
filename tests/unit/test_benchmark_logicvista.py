"""LogicVista: sets of letters, and options that stand in the question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.benchmarks.base import Item, Row
from metis_rise.benchmarks.inline_options import split_options
from metis_rise.benchmarks.logicvista import LogicVista
from metis_rise.errors import InputError
from metis_rise.types import AnswerType

LOGICVISTA = LogicVista()


def item(answer: str, question: str = "Which comes next? Select from A-E", skill: str = "['inductive']") -> Item:
    return LOGICVISTA.item(
        Row("4", {"question": question, "answer": answer, "skill": skill}, "LogicVista.tsv row 5 index 4")
    )


@pytest.mark.parametrize(
    "response",
    [
        r"<think>Both.</think><answer>\boxed{B, D}</answer>",
        r"\boxed{D, B}",
        r"\boxed{BD}",
        r"\boxed{\{B, D\}}",
        r"\boxed{B/D}",
        r"\boxed{B} and \boxed{D}",
        "<answer>B,D</answer>",
        "The answers are B and D.",
        "Answer: **B** and **D**",
        "The correct options are (B) and (D).",
        "So the two figures that fit are B and D",
        "So we choose D, B",
        "B D",
    ],
)
def test_rule_reads_several_letters(response: str):
    verdict = LOGICVISTA.rule(item("B, D"), response)
    assert verdict.correct
    assert not LOGICVISTA.rule(item("A, C"), response).correct
    assert not LOGICVISTA.rule(item("B"), response).correct
    assert not LOGICVISTA.rule(item("B, C, D"), response).correct


@pytest.mark.parametrize(
    "response",
    [
        "The answer is B",
        "B or D",
        "It is not B and D.",
        r"\boxed{A}, as B and D do not fit",
        r"\boxed{A}. Next to it are B and D",
        "<think>Maybe B and D</think> The picture is missing.",
        "",
    ],
)
def test_rule_gives_no_credit_for_part_of_it_or_for_what_is_denied(response: str):
    assert not LOGICVISTA.rule(item("B, D"), response).correct


@pytest.mark.parametrize(
    ("response", "right"),
    [
        (r"<think>Look.</think><answer>\boxed{C}</answer>", True),
        ("The answer is (C).", True),
        ("The answer is (A).", False),
        ("It is hard to say.", False),
    ],
)
def test_rule_reads_one_letter(response: str, right: bool):
    assert LOGICVISTA.rule(item("C"), response).correct is right


@pytest.mark.parametrize(
    ("gold", "extraction", "right"),
    [
        ("B, D", "BD", True),
        ("B, D", "DB", True),
        ("B, D", "B, D", True),
        ("B, D", "b and d", True),
        ("B, D", "B", False),
        ("B, D", "BCD", False),
        ("A, B, D", "bad", False),
        ("B", "B", True),
        ("B", "Z", False),
        ("B", "", False),
        ("B", "the second one", False),
    ],
)
def test_official_is_equality_of_sets(gold: str, extraction: str, right: bool):
    assert LOGICVISTA.official(item(gold), extraction) is right


def test_the_one_gold_answer_that_is_a_number_counts_by_rule_and_never_officially():
    numbered = item("3", "Which is right? Select from 1-5")
    assert numbered.problem.answer_type is AnswerType.TEXT
    assert LOGICVISTA.rule(numbered, r"<think>1</think><answer>\boxed{3}</answer>").correct
    assert not LOGICVISTA.rule(numbered, r"<think>1</think><answer>\boxed{4}</answer>").correct
    assert not LOGICVISTA.official(numbered, "3")


def test_letters_close_together_in_the_gold_answer_are_several():
    found = item("DB")
    assert (found.problem.answer, found.problem.answer_type) == ("B, D", AnswerType.CHOICE)
    assert LOGICVISTA.official(found, "B, D") and LOGICVISTA.official(found, "BD")
    assert LOGICVISTA.rule(found, "The answers are B and D.").correct
    assert not LOGICVISTA.rule(found, "The answer is B.").correct


@pytest.mark.parametrize("text", ["A" + " ,  " * 40 + "x", "A and " * 5_000, "A, B " * 5_000 + "x"])
def test_an_answer_that_runs_away_is_read_all_the_same(text: str):
    """Each comma doubled the time once, so forty of them never came to an end."""
    assert not LOGICVISTA.rule(item("B, D"), text).correct


def test_nothing_is_read_officially_without_a_model():
    assert LOGICVISTA.own_extraction(item("B"), r"\boxed{B}") is None
    assert LOGICVISTA.quick(item("B"), r"\boxed{B}") is None


def test_the_headline_is_the_share_of_right_answers_by_skill():
    (headline,) = LOGICVISTA.headlines
    assert headline.by == ("skill",)
    assert [headline.worth([item("B")], {"4": right}) for right in (True, False)] == [1.0, 0.0]
    assert item("B", skill="['deductive', 'Spatial']").labels == {"skill": ("deductive", "spatial")}
    assert item("B", skill="").labels == {"skill": ()}


def test_the_vlmevalkit_prompt_is_the_question_as_it_stands():
    question = " Which one?  Select from A and B. (A) red (B)blue "
    found = item("B", question)
    assert found.prompt == question
    assert (found.problem.question, found.problem.choices) == ("Which one?  Select from A and B.", ("red", "blue"))
    assert LOGICVISTA.rule(found, r"\boxed{blue}").correct
    assert item("C", question).problem.choices is None


@pytest.mark.parametrize(("column", "value"), [("answer", ""), ("question", " ")])
def test_bad_cells_are_named(column: str, value: str):
    cells = {"question": "Which?", "answer": "A", "skill": "['spatial']"} | {column: value}
    with pytest.raises(InputError, match=rf"LogicVista.tsv row 5 index 4.*{column}"):
        LOGICVISTA.item(Row("4", cells, "LogicVista.tsv row 5 index 4"))


@pytest.mark.parametrize(
    ("question", "stem", "options"),
    [
        ("Is it even? choice: (A) yes (B) no", "Is it even?", ("yes", "no")),
        ("Which sign? Choices: (A) + (B) - (C) * (D) /", "Which sign?", ("+", "-", "*", "/")),
        ("How many? Select from A-D. \n A) 10 B) 12 C) 14", "How many? Select from A-D.", ("10", "12", "14")),
        ("Which? Select from A and B  (A) one, (B) two, ", "Which? Select from A and B", ("one", "two")),
        ("Where?(A) (0, 1) (B) (1, 2)", "Where?", ("(0, 1)", "(1, 2)")),
        ("Which? (A) A, (B) B, (C) Impossible to tell", "Which?", ("A", "B", "Impossible to tell")),
    ],
)
def test_options_at_the_end_of_a_question_are_split_off(question: str, stem: str, options: tuple[str, ...]):
    assert split_options(question, "B") == (stem, options)


@pytest.mark.parametrize(
    "question",
    [
        "Which comes next?",
        "Which one? (A) (B) (C) (D)",
        "What joins the points (A) and (B) in the picture",
        "Which? (B) one (C) two",
        "Which? (A) one (B) two (C) both (A) and (B)",
        "Is f(A) = f(B)? Say yes or no",
        "Is it? (A) yes (B) no. Answer with the letter only",
        "Which one? (A) only",
    ],
)
def test_a_question_that_does_not_end_with_options_stays_as_it_is(question: str):
    assert split_options(question, "B") == (question, None)


@given(st.lists(st.from_regex(r"[a-z0-9][a-z0-9 ]{0,8}[a-z0-9]", fullmatch=True), min_size=2, max_size=8))
def test_written_options_come_back(options: list[str]):
    written = " ".join(f"({letter}) {text}" for letter, text in zip("ABCDEFGH", options, strict=False))
    assert split_options(f"Which one? Choices: {written}", "A") == ("Which one?", tuple(options))
