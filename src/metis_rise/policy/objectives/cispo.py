"""CISPO: the ratio is clipped as a weight, so that no token loses its gradient."""

from __future__ import annotations

from metis_rise.policy.objectives.base import Objective, Result, Settings, TokenBatch, complete, token_ratio


def cispo(batch: TokenBatch, settings: Settings) -> Result:
    """Loss per token [N]: -sg(clamp(r, 1 - clip_low, 1 + clip_high)) A logp, r = exp(logp - old_logp), sg = constant.

    MiniMax-M1 (arXiv 2506.13585, equations 4 and 5). TRL and ScaleRL name the bound itself: their epsilon_high = 5
    is clip_high = 4 here. `clip_low` and `clip_high` are the shares of tokens whose weight was clipped, whatever the
    sign of their advantage.
    """
    ratio = token_ratio(batch).detach()
    low, high = 1 - settings.clip_low, 1 + settings.clip_high
    surrogate = -ratio.clamp(low, high) * batch.advantages * batch.logp
    return complete(surrogate, batch, settings, ratio, ratio < low, ratio > high)


# No lower bound: MiniMax-M1, section 3.1. The upper one, 5: ScaleRL (arXiv 2510.13786), and TRL's documentation.
CISPO = Objective(cispo, clip_low=1.0, clip_high=4.0, advantage_scale="std", aggregation="token")
