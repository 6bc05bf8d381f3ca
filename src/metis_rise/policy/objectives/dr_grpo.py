"""Dr. GRPO: GRPO without its two biases, towards long wrong answers and towards problems of little spread."""

from __future__ import annotations

from metis_rise.policy.objectives.base import Objective, Result, Settings, TokenBatch, clipped_surrogate, token_ratio


def dr_grpo(batch: TokenBatch, settings: Settings) -> Result:
    """Loss per token [N]: -min(r A, clamp(r, 1 - clip_low, 1 + clip_high) A), r = exp(logp - old_logp).

    What makes it Dr. GRPO (arXiv 2503.20783) lies around the loss: rewards are centred and not divided by their
    standard deviation, and rows are summed over a constant length and not divided by their own.
    """
    return clipped_surrogate(batch, settings, token_ratio(batch))


DR_GRPO = Objective(dr_grpo, clip_low=0.2, clip_high=0.2, advantage_scale="none", aggregation="constant")
