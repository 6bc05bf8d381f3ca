"""The reward of one trajectory, by hand, and rewards of the user's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metis_rise.errors import InputError
from metis_rise.recipe import RLConfig, load_recipe
from metis_rise.stages.rewarding import mean_parts, reward, reward_parts, with_parts
from metis_rise.types import AnswerType, Group, Problem, StopReason, Trajectory, Verdict
from metis_rise.verifier.user_reward import RewardInput, UserReward, load_reward

CONFIG = RLConfig(format_weight=0.1, overlong_buffer=20, overlong_weight=0.5)
OWN = RLConfig(accuracy_weight=2.0, overlong_buffer=20, user_reward="mine:own", user_weight=0.25)
PROBLEM = Problem("p-7", "How many?", "1", AnswerType.NUMBER)


def trajectory(correct: bool, well_formed: bool, length: int, stop: StopReason = StopReason.EOS) -> Trajectory:
    verdict = Verdict(correct, well_formed, "1", "box")
    return Trajectory("p-7", 0, "text", tuple(range(length)), stop=stop, verdict=verdict)


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


def test_parts_are_before_weights():
    parts = reward_parts(trajectory(True, True, 90), CONFIG, 100)
    assert parts == {"accuracy": 1.0, "format": 1.0, "overlong": -0.5}


def test_the_user_s_reward_is_weighted_and_added():
    group = Group(PROBLEM, (trajectory(True, True, 10), trajectory(False, True, 90)))
    noted = with_parts(group, OWN, 100, UserReward("mine:own", lambda given: given.tokens / 10)).trajectories
    assert [reward(t, OWN, 100) for t in noted] == pytest.approx([2 + 0.1 + 0.25, 0.1 - 0.25 + 0.25 * 9])
    assert noted[1].verdict is not None
    assert noted[1].verdict.parts == {"accuracy": 0.0, "format": 1.0, "overlong": -0.5, "user": 9.0}
    assert mean_parts(noted, OWN, 100) == {"accuracy": 0.5, "format": 1.0, "overlong": -0.25, "user": 5.0}
    assert mean_parts((), OWN, 100) == {"accuracy": 0.0, "format": 0.0, "overlong": 0.0, "user": 0.0}


def test_what_the_user_s_function_is_given():
    seen: list[RewardInput] = []
    cut = trajectory(False, False, 3, StopReason.LENGTH)
    with_parts(Group(PROBLEM, (cut,)), OWN, 100, UserReward("mine:own", lambda given: seen.append(given) or 0.0))
    (given,) = seen
    assert (given.problem, given.text, given.tokens, given.max_tokens, given.ended) == (PROBLEM, "text", 3, 100, False)
    assert given.verdict == cut.verdict


def test_the_function_is_called_once_and_its_result_survives_a_checkpoint():
    calls: list[str] = []
    own = UserReward("mine:own", lambda given: float(len(calls.append(given.text) or calls)))
    group = with_parts(Group(PROBLEM, (trajectory(True, True, 10),) * 2), OWN, 100, own)
    again = [Trajectory.from_json(json.loads(json.dumps(t.to_json()))) for t in group.trajectories]
    assert [reward(t, OWN, 100) for t in again] == [reward(t, OWN, 100) for t in group.trajectories]
    assert len(calls) == 2


def test_what_the_sampler_gave_up_is_not_rewarded():
    group = Group(PROBLEM, (trajectory(True, True, 10, StopReason.ABORT), trajectory(True, True, 10)))
    assert with_parts(group, OWN, 100, UserReward("mine:own", _raise)) is group


def _raise(given: RewardInput) -> float:
    raise KeyError("colour")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_raise, r"'mine:own': for a completion of problem 'p-7' it raised KeyError: 'colour'"),
        (lambda given: None, r"problem 'p-7' it gave NoneType None; it must give a float"),
        (lambda given: "0.5", r"problem 'p-7' it gave str '0.5'; it must give a float"),
        (lambda given: float("nan"), r"problem 'p-7' it gave nan; it must give a finite float"),
        (lambda given: float("-inf"), r"problem 'p-7' it gave -inf; it must give a finite float"),
    ],
)
def test_a_bad_result_names_the_function_and_the_problem(function: Callable[[RewardInput], float], message: str):
    with pytest.raises(InputError, match=message):
        with_parts(Group(PROBLEM, (trajectory(True, True, 10),)), OWN, 100, UserReward("mine:own", function))


def test_whole_numbers_and_truth_values_are_numbers():
    given = RewardInput(PROBLEM, "", Verdict(True, True, "1", "box"), 1, 2, True)
    assert UserReward("m:f", lambda _: 3)(given) == 3.0
    assert UserReward("m:f", lambda _: True)(given) == 1.0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_a_reward_is_found_beside_the_recipe_and_imported_once(here: Path):
    own = "class Set:\n    @staticmethod\n    def short(given):\n        return len(imports)\n"
    (here / "rewards_of_a_user.py").write_text(f"imports = []\nimports.append(1)\n{own}")
    loaded = load_reward("rewards_of_a_user:Set.short")
    assert load_reward("rewards_of_a_user:Set.short") is loaded
    assert loaded(RewardInput(PROBLEM, "", Verdict(True, True, "1", "box"), 1, 2, True)) == 1.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_here:f", "module no_such_module_here cannot be imported .ModuleNotFoundError"),
        ("broken_rewards:f", "module broken_rewards cannot be imported .ZeroDivisionError"),
        ("math:no_such", "module math has no no_such; name a function in it"),
        ("math:pi", "pi is float, which cannot be called"),
    ],
)
def test_a_reward_that_cannot_be_loaded_is_an_input_error(here: Path, name: str, message: str):
    (here / "broken_rewards.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match=message):
        load_reward(name)


@pytest.mark.parametrize("name", ["brevity", "my rewards:brevity", "a:b:c", "m:", ":f", "__import__('os'):f"])
def test_the_recipe_wants_a_module_and_a_function(name: str):
    with pytest.raises(InputError, match=r"rl\.user_reward = .*must be a module and a function in it"):
        load_recipe("tiny", [f"rl.user_reward={json.dumps(name)}"])


def test_a_reward_without_any_weight_is_refused():
    with pytest.raises(InputError, match=r"rl\.accuracy_weight = 0.*where no other reward has a weight"):
        load_recipe("tiny", ["rl.accuracy_weight=0", "rl.format_weight=0"])
    only_own = ["rl.accuracy_weight=0", "rl.format_weight=0", "rl.user_reward=m:f"]
    assert load_recipe("tiny", only_own).rl.user_reward == "m:f"
