"""The scores of one arm, by hand."""

from __future__ import annotations

import pytest

from metis_rise.stages.evaluate import summarise
from metis_rise.types import AnswerType, Problem, Trajectory, Verdict

PROBLEMS = [Problem(f"p{i}", "q", "1", AnswerType.NUMBER, family="a" if i < 3 else "b") for i in range(4)]
VERDICTS = [(True, True), (True, False), (False, True), (True, True)]


def test_only_right_and_well_formed_answers_count_whatever_their_order():
    rows = [
        Trajectory(p.id, 0, "", verdict=Verdict(correct, well_formed, "1", "box"))
        for p, (correct, well_formed) in zip(PROBLEMS, VERDICTS, strict=True)
    ]
    found = summarise(PROBLEMS, rows[::-1])
    assert found["accuracy"] == 0.5 and found["n"] == 4
    assert found["families"] == {"a": pytest.approx(1 / 3), "b": 1.0}
    # Wilson, 2 of 4, z = 1.96: centre 0.5, half width 1.96 sqrt(0.25/4 + 1.96^2/64) / (1 + 1.96^2/4).
    assert (found["low"], found["high"]) == (pytest.approx(0.1500, abs=1e-3), pytest.approx(0.8500, abs=1e-3))


def test_a_missing_trajectory_is_no_silent_zero():
    with pytest.raises(KeyError):
        summarise(PROBLEMS, [])
