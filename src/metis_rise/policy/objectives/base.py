"""What every objective takes, returns and shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metis_rise.policy.objectives.advantages import Scale
from metis_rise.policy.objectives.aggregate import Mode

Result = tuple[Tensor, dict[str, Tensor]]
"""Loss per token [N], and figures: detached scalars, each a mean over the N tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """The completion tokens of one micro-batch: whole completions, one after another, N tokens in all.

    Tensors are [N], of one device and float type; only `logp` needs a gradient.

    Raises:
        ValueError: a tensor is not [N], or `lengths` do not add up to N.
    """

    logp: Tensor
    """Log-probability of each token under the policy that is trained."""

    old_logp: Tensor
    """The same under the policy that the ratio starts from."""

    advantages: Tensor
    """Advantage of each token; the tokens of a completion share one."""

    lengths: Sequence[int]
    """Tokens of each completion."""

    sampler_logp: Tensor | None = None
    """What the sampler said when it drew the token; None where it is the policy of `old_logp`."""

    ref_logp: Tensor | None = None
    """Log-probability under the reference of the KL penalty."""

    def __post_init__(self) -> None:
        size = (sum(self.lengths),)
        for name in ("logp", "old_logp", "advantages", "sampler_logp", "ref_logp"):
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape != size:
                raise ValueError(f"{name} is {list(tensor.shape)}, but the lengths add up to {size[0]} tokens")


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers of an objective. Ratios are clipped to [1 - clip_low, 1 + clip_high]; clip_low = 1 is no lower bound."""

    clip_low: float
    clip_high: float
    importance_cap: float = 2.0
    kl_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss function and the settings that its authors use with it."""

    loss: Callable[[TokenBatch, Settings], Result]
    clip_low: float
    clip_high: float
    advantage_scale: Scale
    aggregation: Mode


def token_ratio(batch: TokenBatch) -> Tensor:
    """Probability of each token [N] under the policy over that under the old policy."""
    return torch.exp(batch.logp - batch.old_logp)


def clipped_surrogate(batch: TokenBatch, settings: Settings, ratio: Tensor) -> Result:
    """-min(r A, clamp(r, 1 - clip_low, 1 + clip_high) A) per token, for ratios [N]: PPO's clipped surrogate."""
    low, high = 1 - settings.clip_low, 1 + settings.clip_high
    gain = torch.minimum(ratio * batch.advantages, ratio.clamp(low, high) * batch.advantages)
    below, above = (ratio < low) & (batch.advantages < 0), (ratio > high) & (batch.advantages > 0)
    return complete(-gain, batch, settings, ratio, below, above)


def complete(
    surrogate: Tensor, batch: TokenBatch, settings: Settings, ratio: Tensor, below: Tensor, above: Tensor
) -> Result:
    """What all objectives do to their surrogate [N]: weigh it, add the KL penalty, report figures.

    The importance weight of a token is min(exp(old_logp - sampler_logp), importance_cap), held constant, where there
    is a sampler_logp: truncated at token level, whatever the level of the ratio. The penalty is
    kl_weight * (exp(d) - 1 - d), d = ref_logp - logp: GRPO's unbiased estimate of KL(policy || reference) (arXiv
    2402.03300, equation 4). It is not weighed.

    Figures: `clip_low` and `clip_high` (shares of `below` and `above`, boolean [N]), `ratio`, `kl_old` (the same
    estimate of KL(old || policy), of the token ratios) and, with a reference, `kl`.

    Raises:
        ValueError: there is a kl_weight and no reference.
    """
    if settings.kl_weight and batch.ref_logp is None:
        raise ValueError(f"kl_weight is {settings.kl_weight}, but there are no reference log-probabilities")
    loss = surrogate
    if batch.sampler_logp is not None:
        weight = torch.exp(batch.old_logp - batch.sampler_logp).clamp(max=settings.importance_cap)
        loss = loss * weight.detach()
    figures = {
        "clip_low": below.float().mean(),
        "clip_high": above.float().mean(),
        "ratio": ratio.detach().mean(),
        "kl_old": _divergence((batch.logp - batch.old_logp).detach()).mean(),
    }
    if batch.ref_logp is not None:
        kl = _divergence(batch.ref_logp - batch.logp)
        loss = loss + settings.kl_weight * kl
        figures["kl"] = kl.detach().mean()
    return loss, figures


def _divergence(log_ratio: Tensor) -> Tensor:
    # exp(x) - 1 would lose all digits of the tiny divergences that an update usually makes.
    return torch.expm1(log_ratio) - log_ratio
