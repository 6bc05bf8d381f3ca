"""Rewards made of verdicts."""

from __future__ import annotations

from metis_rise.types import Verdict

ACCURACY, FORMAT, OVERLONG, USER = "accuracy", "format", "overlong", "user"
"""Names of the parts of a reward: in `Verdict.parts`, and in a step's metrics."""


def accuracy_reward(verdict: Verdict) -> float:
    """1.0 for a right answer in the right format, else 0.0."""
    return float(verdict.strict)


def format_reward(verdict: Verdict) -> float:
    """1.0 for the right format, whatever the answer, else 0.0."""
    return float(verdict.well_formed)


def overlong_penalty(length: int, max_tokens: int, buffer: int, weight: float) -> float:
    """Soft overlong punishment (DAPO, arXiv 2503.14476, equation 13), scaled by `weight`.

    0 up to `max_tokens - buffer` tokens, then linear down to `-weight` at `max_tokens` and beyond. A `buffer` of 0
    turns it off.
    """
    over = length - (max_tokens - buffer)
    if buffer == 0 or over <= 0:
        return 0.0
    return -weight * min(1.0, over / buffer)
