"""Whether reasoning leads to the answer: what counts as announced, and what is left alone."""

from __future__ import annotations

import pytest
from diagnosing import completion

from metis_rise.stages.conclusion import announced_result, leads_elsewhere
from metis_rise.types import AnswerType, Problem

NUMBER = Problem("p", "q", "7", AnswerType.NUMBER)
CHOICE = Problem("p", "q", "B", AnswerType.CHOICE, choices=("6 cm", "7 cm", "8 cm"))


@pytest.mark.parametrize(
    ("reasoning", "result"),
    [
        ("We get \\boxed{7}, so that is it.", "7"),
        ("The answer is 6. No, wait: the answer is 7.", "7"),
        ("red=4 blue=3 4+3=7", "7"),
        ("So x = 1,234.5.", "1,234.5"),
        ("Thus $a = -7$.", "-7"),
        ("Then 4 + 3 = 7, which we can check.", None),
        ("That makes = 7 apples", None),
        ("I think so.", None),
        ("", None),
    ],
)
def test_what_is_announced(reasoning: str, result: str | None):
    assert announced_result(NUMBER, reasoning) == result


@pytest.mark.parametrize(
    ("reasoning", "elsewhere"),
    [
        ("The answer is 7.", False),
        ("The answer is 6. No, wait: the answer is 7.", False),
        ("So we get \\boxed{6}.", True),
        ("red=4 blue=3 4+3=8", True),
        ("It could be 6 or 8.", False),
        ("", False),
    ],
)
def test_numbers(reasoning: str, elsewhere: bool):
    assert leads_elsewhere(NUMBER, completion("7", reasoning)) is elsewhere


@pytest.mark.parametrize(
    ("reasoning", "elsewhere"),
    [
        ("So the answer is B.", False),
        ("So the answer is (C).", True),
        ("3 + 4 = 7", False),
        ("2 + 4 = 6", False),
        ("So the answer is something near 7.", False),
    ],
)
def test_options_are_compared_by_letter_only(reasoning: str, elsewhere: bool):
    assert leads_elsewhere(CHOICE, completion("B", reasoning)) is elsewhere


def test_only_the_reasoning_counts():
    assert not leads_elsewhere(NUMBER, "The answer is 6.")
    assert not leads_elsewhere(NUMBER, completion("7", "hm") + " The answer is 6.")
