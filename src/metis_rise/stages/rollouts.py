"""What the journal keeps of what RL sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metis_rise.types import Group

WITH_TOKENS = 16
"""Groups of a step whose first completion is kept with its tokens and log-probabilities."""

_DIGITS = 3


def rollout_rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The rows of a step's rollouts: what was written and what it is worth.

    Tokens and log-probabilities, by which the report shades a text, would be most of a run's size: only the first
    completion of the first groups has them.
    """
    return [
        trajectory.to_json(_DIGITS) | ({} if turn < WITH_TOKENS and number == 0 else {"tokens": [], "logprobs": []})
        for turn, group in enumerate(groups)
        for number, trajectory in enumerate(group.trajectories)
    ]
