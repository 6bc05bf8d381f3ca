"""Advantages of the completions of one problem relative to each other."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Scale = Literal["std", "none"]


def group_advantages(rewards: Tensor, scale: Scale = "std", eps: float = 1e-4) -> Tensor:
    """Advantages [B, G] of rewards [B, G]: G completions of each of B problems.

    GRPO (arXiv 2402.03300, section 4.1.2): A = (r - mean(r)) / std(r) within the group, the standard deviation being
    the unbiased one, as in the field's code, and `eps` added to it. Scale "none" leaves out the division
    (Dr. GRPO, arXiv 2503.20783). A group whose rewards are all equal gets zeros.
    """
    centred = rewards - rewards.mean(-1, keepdim=True)
    spread = (rewards != rewards[..., :1]).any(-1, keepdim=True)
    # Rounding of the mean would otherwise leave a group of equal rewards with tiny advantages.
    centred = torch.where(spread, centred, torch.zeros_like(centred))
    if scale == "none" or rewards.shape[-1] < 2:
        return centred
    return centred / (rewards.std(-1, keepdim=True, unbiased=True) + eps)
