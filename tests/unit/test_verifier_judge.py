r"""Verdicts and the rewards made of them."""

from __future__ import annotations

import json

import pytest

from metis_rise.types import AnswerType, Problem, Reason, Trajectory
from metis_rise.verifier.format import Fault
from metis_rise.verifier.judge import judge
from metis_rise.verifier.rewards import accuracy_reward, format_reward, overlong_penalty

PROBLEM = Problem("p", "3 + 4?", "7", AnswerType.NUMBER)
RIGHT = r"<think> 3 + 4 = 7 </think><answer>\boxed{7}</answer>"


def test_right_and_well_formed() -> None:
    verdict = judge(PROBLEM, RIGHT)
    assert verdict.strict and (verdict.extracted, verdict.rule) == ("7", "answer box")
    assert (verdict.code, verdict.fault, verdict.chain) == (Reason.RIGHT, "", None)
    assert verdict.parts == {"accuracy": 1.0, "format": 1.0}


@pytest.mark.parametrize(
    ("text", "code", "fault"),
    [
        (RIGHT.replace("{7}", "{8}"), Reason.DIFFERENT, ""),
        (RIGHT.replace("{7}", "{3 + 4}"), Reason.ECHO, ""),
        (RIGHT.replace(r"\boxed{7}", r"\boxed{7} \boxed{8}"), Reason.SEVERAL, Fault.BOXES),
        (RIGHT.replace(r"\boxed{7}", "7"), Reason.NO_ANSWER, Fault.NO_BOX),
        (RIGHT.replace("{7}", "{" + "7" * 2_000 + "}"), Reason.TOO_LONG, ""),
        (RIGHT.replace("{7}", "{your result}"), Reason.DIFFERENT, Fault.EXAMPLE),
        (r"<think> \boxed{7} </think>", Reason.NO_ANSWER, Fault.TAGS),
    ],
)
def test_codes_say_why(text: str, code: Reason, fault: str) -> None:
    verdict = judge(PROBLEM, text)
    assert (verdict.correct, verdict.code, verdict.fault) == (False, code, fault)
    assert verdict.parts == {"accuracy": 0.0, "format": float(not fault)}
    assert verdict.reason


def test_verdicts_survive_a_journal_and_older_journals_are_read() -> None:
    trajectory = Trajectory("p", 0, RIGHT, verdict=judge(PROBLEM, RIGHT))
    row = json.loads(json.dumps(trajectory.to_json()))
    assert Trajectory.from_json(row) == trajectory
    for new in ("code", "fault", "parts"):
        del row["verdict"][new]
    old = Trajectory.from_json(row).verdict
    assert old is not None and old.strict and (old.code, old.fault, old.parts) == ("", "", {})


@pytest.mark.parametrize(
    ("text", "correct", "well_formed", "accuracy", "form"),
    [
        (RIGHT, True, True, 1.0, 1.0),
        (RIGHT.replace("{7}", "{8}"), False, True, 0.0, 1.0),
        (RIGHT + " ok", True, False, 0.0, 0.0),
        (r"\boxed{7}", True, False, 0.0, 0.0),
        (RIGHT.replace(r"\boxed{7}", r"\boxed{7} \boxed{8}"), False, False, 0.0, 0.0),
        ("the answer is 7", False, False, 0.0, 0.0),
    ],
)
def test_verdicts_and_rewards(text: str, correct: bool, well_formed: bool, accuracy: float, form: float) -> None:
    verdict = judge(PROBLEM, text)
    assert (verdict.correct, verdict.well_formed) == (correct, well_formed)
    assert (accuracy_reward(verdict), format_reward(verdict)) == (accuracy, form)


def test_a_completion_cut_by_its_length_is_well_formed_only_in_lenient_mode() -> None:
    assert judge(PROBLEM, RIGHT, ended=False).fault == Fault.CUT
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
