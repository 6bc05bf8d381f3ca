"""VLMEvalKit's reading of options, options that repeat, and questions without what a file wrote into them."""

from __future__ import annotations

from string import ascii_uppercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.benchmarks.base import Row
from metis_rise.benchmarks.options import can_infer, choices, judge_choice, lettered
from metis_rise.benchmarks.questions import bare, placed
from metis_rise.errors import InputError
from metis_rise.types import AnswerType, Problem

OPTIONS = lettered(["a cat", "a dog", "a bird", "none of these animals"])


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("It is (B).", "B"),
        (r"\boxed{B}", "B"),
        ("b", None),
        ("B is what I would choose in the end", None),  # too early
        ("w w w B x y z", "B"),
        ("w w w B x y z v", None),
        ("B and again, far from the beginning, B", None),  # its first place counts
        ("A or B", None),
        ("A", "A"),
        ("The answer is B since nothing else can be seen there", "B"),
        ("The correct answer is **c** as far as the picture shows it", "C"),
        ("the answer is because of the many legs that one counts", "B"),
        ("the answer is (B) as far as the picture shows it", None),
        ("Z", "Z"),
        ("Cannot determine the answer from this", "Z"),
        ("I can't process this file. B", "Z"),
        ("Failed to obtain answer via API. B", None),
        ("It is A DOG", "A"),  # an article in capitals is a letter
        ("it is a dog", "B"),
        ("a cat, not a dog", None),
        ("it is a dog, " + "and I say so again, " * 10, None),  # over twice as long as all options together
        ("", None),
    ],
)
def test_vlmevalkits_reading(answer: str, letter: str | None):
    assert can_infer(answer, OPTIONS) == letter


def test_a_letter_beyond_d_is_read_as_a_word_only():
    many = lettered([f"text {number}" for number in range(6)])
    assert can_infer("So it is F", many) == "F"
    assert can_infer("The answer is F as far as the picture shows it", many) is None


@given(st.text(max_size=200), st.lists(st.text(max_size=10), min_size=2, max_size=26))
def test_what_is_read_is_an_option_or_a_refusal(answer: str, texts: list[str]):
    assert can_infer(answer, lettered(texts)) in {None, "Z", *ascii_uppercase[: len(texts)]}


def test_each_of_two_equal_options_is_right():
    texts = ("20 miles", "15 miles", "20 miles")
    problem = Problem("587", "How far?", "A", AnswerType.CHOICE)
    right = [
        answer for answer in ("A", "B", "C", "20 miles", "15 miles") if judge_choice(problem, answer, texts).correct
    ]
    assert right == ["A", "C", "20 miles"]


@pytest.mark.parametrize("cell", ["['only one']", str([str(number) for number in range(27)]), "5", "['a' 'b']"])
def test_bad_options_are_named(cell: str):
    with pytest.raises(InputError, match=r"data\.tsv row 2 index 7: column 'choices'"):
        choices(Row("7", {"choices": cell}, "data.tsv row 2 index 7"))


HINT = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"


@pytest.mark.parametrize(
    "text",
    [
        "Which one?",
        "Question: Which one?",
        HINT + "Question: Which one?\nChoices:\n(A) $x + 1$\n(B) (A) alone",
        HINT + "Question: Which one?\nChoices: (A) $x+1$ (B) (A) alone",
        "Which one?\nOptions:\nA. $x + 1$\nB. (A) alone\n",
        "Which one?\n\nA: $x + 1$\nB: (A)  alone",
        "Which one?\n(A) $x + 1$\n(B) (A) alone",
    ],
)
def test_hint_and_options_are_cut_off(text: str):
    assert bare(text, ("$x + 1$", "(A) alone")) == ("Which one?", ("$x + 1$", "(A) alone"))


def test_options_in_another_place_are_not_shown_twice():
    question = "Is it (A) two or (B) three that you see?"
    assert bare(question, ("two", "three")) == (question, ("A", "B"))


def test_a_hint_of_the_question_itself_stays():
    question = "Hint: AB is a diameter.\nFind the angle."
    assert bare(question, ()) == (question, None)


def test_a_question_about_options_keeps_what_is_no_list_of_them():
    question = "Points (A) and (B) lie on a circle. Which is higher?"
    assert bare(question, ("left one", "right one")) == (question, ("left one", "right one"))


@given(
    st.text(alphabet="xyz ?.\n", min_size=1, max_size=40).filter(str.strip),
    st.lists(st.text(alphabet="uvw1 $", min_size=1, max_size=8).filter(str.strip), min_size=2, max_size=8),
    st.sampled_from(["({}) {}", "{}. {}", "{}: {}", "{}) {}"]),
    st.sampled_from(["\nChoices:\n", "\n", "\nOptions: "]),
)
def test_any_question_comes_back(question: str, texts: list[str], shape: str, heading: str):
    lines = "\n".join(shape.format(letter, text) for letter, text in lettered(texts).items())
    assert bare(question + heading + lines, texts) == (question.strip(), tuple(texts))


@pytest.mark.parametrize(
    ("question", "pictures", "expected"),
    [
        ("Look at <image1>.", 1, "Look at <image1>."),
        ("<image>\nLook.", 1, "<image>\nLook."),
        ("Is <image1> or <image2> bigger?", 1, "Is image 1 or image 2 bigger?"),
        ("Is <image1> or <image2> bigger?", 2, "Is <image1> or <image2> bigger?"),
        ("Look.", 1, "Look."),
    ],
)
def test_markers_without_a_picture_become_words(question: str, pictures: int, expected: str):
    assert placed(question, pictures) == expected
