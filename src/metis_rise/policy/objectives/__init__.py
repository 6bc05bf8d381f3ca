"""Objectives of the policy update: each is one file with one pure function of a TokenBatch and Settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from metis_rise.policy.objectives.advantages import Scale, group_advantages
from metis_rise.policy.objectives.aggregate import Mode, aggregate
from metis_rise.policy.objectives.base import Objective, Settings, TokenBatch
from metis_rise.policy.objectives.cispo import CISPO
from metis_rise.policy.objectives.dr_grpo import DR_GRPO
from metis_rise.policy.objectives.grpo import GRPO
from metis_rise.policy.objectives.gspo import GSPO

__all__ = [
    "OBJECTIVES",
    "Mode",
    "Objective",
    "Scale",
    "Settings",
    "TokenBatch",
    "aggregate",
    "group_advantages",
    "resolve",
]

Auto = Literal["auto"]

OBJECTIVES: dict[str, Objective] = {"grpo": GRPO, "dr_grpo": DR_GRPO, "gspo": GSPO, "cispo": CISPO}
"""By the name that a recipe gives them (rl.objective)."""


def resolve(
    name: str, clip_low: float | Auto, clip_high: float | Auto, advantage_scale: Scale | Auto, aggregation: Mode | Auto
) -> Objective:
    """The objective of that name; every value that is not "auto" takes the place of its own.

    Raises:
        KeyError: there is no objective of that name.
    """
    asked: dict[str, Any] = {
        "clip_low": clip_low,
        "clip_high": clip_high,
        "advantage_scale": advantage_scale,
        "aggregation": aggregation,
    }
    return replace(OBJECTIVES[name], **{field: value for field, value in asked.items() if value != "auto"})
