"""GRPO, our variant: the clipped surrogate per token, with a wider upper bound."""

from __future__ import annotations

from metis_rise.policy.objectives.base import Objective, Result, Settings, TokenBatch, clipped_surrogate, token_ratio


def grpo(batch: TokenBatch, settings: Settings) -> Result:
    """Loss per token [N]: -min(r A, clamp(r, 1 - clip_low, 1 + clip_high) A), r = exp(logp - old_logp).

    GRPO's equation 3 (arXiv 2402.03300) with the two bounds decoupled and the mean over all tokens of the batch:
    DAPO's "clip-higher" and "token-level loss" (arXiv 2503.14476, equations 8 and 10).
    """
    return clipped_surrogate(batch, settings, token_ratio(batch))


GRPO = Objective(grpo, clip_low=0.2, clip_high=0.28, advantage_scale="std", aggregation="token")
