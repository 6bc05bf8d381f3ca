"""The reward of one trajectory, by hand."""

from __future__ import annotations

import pytest

from metis_rise.recipe import RLConfig
from metis_rise.stages.update import reward
from metis_rise.types import Trajectory, Verdict

CONFIG = RLConfig(format_weight=0.1, overlong_buffer=20, overlong_weight=0.5)


def trajectory(correct: bool, well_formed: bool, length: int) -> Trajectory:
    return Trajectory("p", 0, "", tuple(range(length)), verdict=Verdict(correct, well_formed, "1", "box"))


@pytest.mark.parametrize(
    ("correct", "well_formed", "length", "expected"),
    [
        (True, True, 10, 1.1),
        (False, True, 10, 0.1),
        (True, False, 10, 0.0),
        (False, False, 10, 0.0),
        (True, True, 80, 1.1),
        (True, True, 90, 1.1 - 0.25),
        (False, False, 100, -0.5),
    ],
)
def test_reward(correct: bool, well_formed: bool, length: int, expected: float):
    assert reward(trajectory(correct, well_formed, length), CONFIG, 100) == pytest.approx(expected)
