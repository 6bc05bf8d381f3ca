"""GSPO: one probability ratio per completion."""

from __future__ import annotations

import torch
from torch import Tensor

from metis_rise.policy.objectives.base import Objective, Result, Settings, TokenBatch, clipped_surrogate


def gspo(batch: TokenBatch, settings: Settings) -> Result:
    """Loss per token [N]: -min(s A, clamp(s, 1 - clip_low, 1 + clip_high) A), the same for all tokens of a completion.

    s = exp(mean over the completion of (logp - old_logp)), its likelihood ratio normalised by length, and the gradient
    flows through s into all of its tokens alike (arXiv 2507.18071, equations 5 to 7). The mean over "sequence" makes
    it the paper's objective. `clip_low`, `clip_high` and `ratio` count a completion once for each of its tokens.

    Importance weights between trainer and sampler stay at token level, truncated one by one: a product over a
    completion has a variance that grows with its length, and truncating it would weigh long completions down. They
    scale the tokens' equal shares of the completion's loss, so the completion is weighed by their mean.
    """
    return clipped_surrogate(batch, settings, _sequence_ratio(batch))


def _sequence_ratio(batch: TokenBatch) -> Tensor:
    rows = torch.split(batch.logp - batch.old_logp, list(batch.lengths))
    means = torch.stack([row.mean() for row in rows])
    return means.exp().repeat_interleave(torch.tensor(batch.lengths, device=means.device))


# Section 5.1 of the paper.
GSPO = Objective(gspo, clip_low=3e-4, clip_high=4e-4, advantage_scale="std", aggregation="sequence")
