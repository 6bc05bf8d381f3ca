"""The GRPO objective as pure functions on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Scale = Literal["std", "none"]
Mode = Literal["token", "sequence", "constant"]


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


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    sampler_logp: Tensor | None = None,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    importance_cap: float = 2.0,
    ref_logp: Tensor | None = None,
    kl_weight: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss per token [N] and its figures, from log-probabilities and advantages per token, all [N].

    With r = exp(logp - old_logp) the loss is -min(r A, clamp(r, 1 - clip_low, 1 + clip_high) A): GRPO's equation 3
    (arXiv 2402.03300) with the two bounds decoupled, DAPO's "clip-higher" (arXiv 2503.14476, equation 10).

    `sampler_logp` (what the sampler said when it drew the token) weighs that by w = min(exp(old_logp - sampler_logp),
    importance_cap), held constant: the token-level truncated importance weight. `ref_logp` with `kl_weight` adds
    kl_weight * (exp(d) - d - 1), d = ref_logp - logp, GRPO's unbiased estimate of the divergence (its equation 4).

    The figures, each a detached scalar, a mean over the N tokens: `clip_low`, `clip_high` (share of tokens where the
    clipped branch is the smaller one), `ratio`, `kl`.
    """
    ratio = torch.exp(logp - old_logp)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    loss = -torch.minimum(ratio * advantages, clipped * advantages)
    figures = {
        "clip_low": _share((ratio < 1 - clip_low) & (advantages < 0)),
        "clip_high": _share((ratio > 1 + clip_high) & (advantages > 0)),
        "ratio": ratio.detach().mean(),
    }
    if sampler_logp is not None:
        loss = loss * torch.exp(old_logp.detach() - sampler_logp).clamp(max=importance_cap)
    if ref_logp is not None:
        distance = ref_logp - logp
        kl = distance.exp() - distance - 1
        loss = loss + kl_weight * kl
        figures["kl"] = kl.detach().mean()
    return loss, figures


def aggregate(loss: Tensor, lengths: Sequence[int], mode: Mode, total: float) -> Tensor:
    """One number from losses per token [N], so that the results of micro-batches add up to the whole batch's loss.

    `lengths` are the tokens per row of this micro-batch; `total` is a count over the whole global batch:

    - "token": the mean over tokens (DAPO, arXiv 2503.14476, equation 8); `total` = all tokens.
    - "sequence": the mean over rows of each row's mean (GRPO, arXiv 2402.03300, equation 3); `total` = all rows.
    - "constant": the sum over a fixed length per row (Dr. GRPO, arXiv 2503.20783); `total` = all rows x that length.
    """
    if mode == "sequence":
        counts = torch.tensor(lengths, device=loss.device)
        loss = loss / counts.repeat_interleave(counts)
    return loss.sum() / total


def _share(mask: Tensor) -> Tensor:
    return mask.float().mean()
