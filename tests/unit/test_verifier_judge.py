r"""Verdicts and the rewards made of them."""

from __future__ import annotations

import pytest

from metis_rise.types import AnswerType, Problem, Verdict
from metis_rise.verifier.judge import judge
from metis_rise.verifier.rewards import accuracy_reward, format_reward, overlong_penalty

PROBLEM = Problem("p", "3 + 4?", "7", AnswerType.NUMBER)
RIGHT = r"<think> 3 + 4 = 7 </think><answer>\boxed{7}</answer>"


def test_right_and_well_formed() -> None:
    assert judge(PROBLEM, RIGHT) == Verdict(True, True, "7", "answer box", None, "number")


@pytest.mark.parametrize(
    ("text", "correct", "well_formed", "accuracy", "form"),
    [
        (RIGHT, True, True, 1.0, 1.0),
        (RIGHT.replace("{7}", "{8}"), False, True, 0.0, 1.0),
        (RIGHT + " ok", True, False, 0.0, 0.0),
        (r"\boxed{7}", True, False, 0.0, 0.0),
        (RIGHT.replace(r"\boxed{7}", r"\boxed{7} \boxed{8}"), False, True, 0.0, 1.0),
        ("the answer is 7", False, False, 0.0, 0.0),
    ],
)
def test_verdicts_and_rewards(text: str, correct: bool, well_formed: bool, accuracy: float, form: float) -> None:
    verdict = judge(PROBLEM, text)
    assert (verdict.correct, verdict.well_formed) == (correct, well_formed)
    assert (accuracy_reward(verdict), format_reward(verdict)) == (accuracy, form)


def test_a_completion_cut_by_its_length_is_well_formed_only_in_lenient_mode() -> None:
    assert not judge(PROBLEM, RIGHT, ended=False).well_formed
    assert judge(PROBLEM, RIGHT, ended=False).correct
    assert judge(PROBLEM, RIGHT, strict=False, ended=False).well_formed


def test_lenient_mode_reads_other_formats() -> None:
    assert judge(PROBLEM, "The answer is 7.", strict=False).correct
    assert not judge(PROBLEM, "The answer is 8.", strict=False).correct


def test_choices_are_judged_by_letter_or_text() -> None:
    problem = Problem("p", "?", "B", AnswerType.CHOICE, choices=("red", "blue"))
    for answer in ("B", "(b)", "Blue", "B. blue"):
        assert judge(problem, RIGHT.replace("{7}", f"{{{answer}}}")).strict
    for answer in ("A", "red", "red or blue", "A, B"):
        assert not judge(problem, RIGHT.replace("{7}", f"{{{answer}}}")).correct


@pytest.mark.parametrize(
    ("length", "penalty"), [(0, 0.0), (80, 0.0), (81, -0.025), (90, -0.25), (100, -0.5), (150, -0.5)]
)
def test_overlong_penalty_by_hand(length: int, penalty: float) -> None:
    assert overlong_penalty(length, max_tokens=100, buffer=20, weight=0.5) == pytest.approx(penalty)


def test_no_buffer_no_penalty() -> None:
    assert overlong_penalty(200, max_tokens=100, buffer=0, weight=1.0) == 0.0
