"""Every objective against TRL's own loss on the same log-probabilities: value, gradient and figures."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from trl_reference import trl_loss

from metis_rise.policy.objectives import OBJECTIVES, Mode, Settings, TokenBatch, aggregate, group_advantages

LENGTHS = [9, 1, 4, 7, 2, 5]
WIDTH = 9
MASK = torch.arange(WIDTH) < torch.tensor(LENGTHS)[:, None]
CAP = 1.5


@dataclass(frozen=True)
class Case:
    """An objective of ours, and what TRL calls it."""

    name: str
    mode: Mode
    kind: str
    level: str = "token"
    clip: tuple[float, float] | None = None

    def settings(self, beta: float = 0.0) -> Settings:
        own = OBJECTIVES[self.name]
        low, high = self.clip or (own.clip_low, own.clip_high)
        return Settings(low, high, importance_cap=CAP, kl_weight=beta)

    def bounds(self) -> dict[str, float]:
        """TRL's epsilons; its cispo has no lower bound, and epsilon_high is the bound itself."""
        clip = self.settings()
        return {
            "epsilon_low": clip.clip_low,
            "epsilon_high": 1 + clip.clip_high if self.name == "cispo" else clip.clip_high,
        }


CASES = {
    "grpo-token": Case("grpo", "token", "dapo"),
    "grpo-sequence": Case("grpo", "sequence", "grpo"),
    "grpo-constant": Case("grpo", "constant", "dr_grpo"),
    "dr_grpo": Case("dr_grpo", "constant", "dr_grpo"),
    "dr_grpo-token": Case("dr_grpo", "token", "dapo"),
    "gspo": Case("gspo", "sequence", "grpo", "sequence"),
    "gspo-wide": Case("gspo", "sequence", "grpo", "sequence", clip=(0.1, 0.15)),
    "gspo-token": Case("gspo", "token", "dapo", "sequence", clip=(0.1, 0.15)),
    "cispo": Case("cispo", "token", "cispo"),
    "cispo-narrow": Case("cispo", "token", "cispo", clip=(1.0, 0.2)),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@dataclass(frozen=True)
class Padded:
    """Log-probabilities [rows, WIDTH], right-padded, and advantages [rows]."""

    start: Tensor
    old: Tensor
    ref: Tensor
    sampler: Tensor
    advantages: Tensor


def padded() -> Padded:
    generator = torch.Generator().manual_seed(3)

    def noise(scale: float) -> Tensor:
        return scale * torch.randn(len(LENGTHS), WIDTH, generator=generator)

    old = -torch.rand(len(LENGTHS), WIDTH, generator=generator) * 3
    # A shift per row, so that whole sequences leave the bounds; two rows stay near the old policy.
    shift = torch.tensor([0.3, -0.4, 0.05, -0.3, -0.05, 1.2])[:, None]
    advantages = group_advantages(torch.tensor([[1.0, 0.0, 0.0], [0.1, 1.1, 1.1]])).flatten()
    return Padded(old + shift + noise(0.3), old, old + noise(0.3), old + noise(0.5), advantages)


def their_loss(case: Case, data: Padded, logp: Tensor, beta: float, corrected: bool) -> tuple[Tensor, dict[str, float]]:
    # What token_truncate puts before the loss, with clip_max=CAP.
    importance = torch.exp((data.old - data.sampler) * MASK).clamp(max=CAP) if corrected else None
    return trl_loss(
        logp,
        MASK,
        data.old,
        data.ref,
        data.advantages,
        kind=case.kind,
        level=case.level,
        bounds=case.bounds(),
        beta=beta,
        importance=importance,
    )


def our_loss(case: Case, data: Padded, logp: Tensor, beta: float, corrected: bool) -> tuple[Tensor, dict[str, Tensor]]:
    batch = TokenBatch(
        logp=logp[MASK],
        old_logp=data.old[MASK],
        advantages=data.advantages[:, None].expand(MASK.shape)[MASK],
        lengths=LENGTHS,
        sampler_logp=data.sampler[MASK] if corrected else None,
        ref_logp=data.ref[MASK],
    )
    loss, figures = OBJECTIVES[case.name].loss(batch, case.settings(beta))
    total = {"token": sum(LENGTHS), "sequence": len(LENGTHS), "constant": len(LENGTHS) * WIDTH}[case.mode]
    return aggregate(loss, LENGTHS, case.mode, total), figures


@pytest.mark.parametrize("corrected", [False, True], ids=["plain", "token_truncate"])
@pytest.mark.parametrize("beta", [0.0, 0.05])
@cases
def test_loss_and_gradient_equal_trl(case: Case, beta: float, corrected: bool) -> None:
    data = padded()
    theirs, ours = data.start.clone().requires_grad_(), data.start.clone().requires_grad_()
    expected, metrics = their_loss(case, data, theirs, beta, corrected)
    got, figures = our_loss(case, data, ours, beta, corrected)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, ours), torch.autograd.grad(expected, theirs))
    if beta:
        assert figures["kl"].item() == pytest.approx(metrics["kl"])
    if case.name in ("grpo", "dr_grpo"):
        assert figures["clip_low"].item() == pytest.approx(metrics["clip_ratio/low_mean"])
        assert figures["clip_high"].item() == pytest.approx(metrics["clip_ratio/high_mean"])


@cases
def test_the_comparison_clips_on_both_sides_and_leaves_some_tokens(case: Case) -> None:
    data = padded()
    _, figures = our_loss(case, data, data.start, beta=0.0, corrected=False)
    clipped = figures["clip_low"] + figures["clip_high"]
    if case.name == "cispo":
        # TRL's has no lower bound, and a bound of 5 is meant to be out of reach.
        assert (figures["clip_high"] > 0) == (case.clip is not None)
    else:
        assert figures["clip_low"] > 0 and figures["clip_high"] > 0
    assert clipped < 1


def test_the_comparison_truncates_some_importance_weights() -> None:
    data = padded()
    share = (torch.exp(data.old - data.sampler)[MASK] > CAP).float().mean()
    assert 0 < share < 1
