"""The reward of a trajectory: its parts, and their weighted sum (docs/design.md, "The GRPO variant")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metis_rise.recipe.rl import RLConfig
from metis_rise.types import Group, StopReason, Trajectory
from metis_rise.verifier.rewards import (
    ACCURACY,
    FORMAT,
    OVERLONG,
    USER,
    accuracy_reward,
    format_reward,
    overlong_penalty,
)
from metis_rise.verifier.user_reward import RewardInput, UserReward


def reward_parts(trajectory: Trajectory, config: RLConfig, max_tokens: int) -> dict[str, float]:
    """What each reward gives a judged trajectory, before weights; the user's as `with_parts` noted it."""
    verdict = trajectory.verdict
    assert verdict is not None
    parts = {
        ACCURACY: accuracy_reward(verdict),
        FORMAT: format_reward(verdict),
        OVERLONG: overlong_penalty(len(trajectory.tokens), max_tokens, config.overlong_buffer, weight=1.0),
    }
    return parts if config.user_reward is None else parts | {USER: verdict.parts[USER]}


def reward(trajectory: Trajectory, config: RLConfig, max_tokens: int) -> float:
    """The weighted sum of a judged trajectory's parts."""
    weights = {
        ACCURACY: config.accuracy_weight,
        FORMAT: config.format_weight,
        OVERLONG: config.overlong_weight,
        USER: config.user_weight,
    }
    return sum(weights[name] * value for name, value in reward_parts(trajectory, config, max_tokens).items())


def mean_parts(trajectories: Sequence[Trajectory], config: RLConfig, max_tokens: int) -> dict[str, float]:
    """The mean of each part; zeros where there are no trajectories."""
    sums = dict.fromkeys((ACCURACY, FORMAT, OVERLONG, *(() if config.user_reward is None else (USER,))), 0.0)
    for trajectory in trajectories:
        for name, value in reward_parts(trajectory, config, max_tokens).items():
            sums[name] += value
    return {name: total / max(1, len(trajectories)) for name, total in sums.items()}


def with_parts(group: Group, config: RLConfig, max_tokens: int, user: UserReward | None) -> Group:
    """The judged group with all parts noted in its verdicts, where they stay: the user's function is called here only.

    A group that the sampler gave up comes back as it is.
    """
    if group.aborted:
        return group
    trajectories = []
    for trajectory in group.trajectories:
        verdict = trajectory.verdict
        assert verdict is not None
        own = {} if user is None else {USER: user(_input(group, trajectory, max_tokens))}
        noted = replace(trajectory, verdict=replace(verdict, parts=own))
        parts = reward_parts(noted, config, max_tokens)
        trajectories.append(replace(noted, verdict=replace(verdict, parts=parts)))
    return Group(group.problem, tuple(trajectories))


def _input(group: Group, trajectory: Trajectory, max_tokens: int) -> RewardInput:
    assert trajectory.verdict is not None
    ended = trajectory.stop in (StopReason.EOS, StopReason.STOP)
    return RewardInput(group.problem, trajectory.text, trajectory.verdict, len(trajectory.tokens), max_tokens, ended)
