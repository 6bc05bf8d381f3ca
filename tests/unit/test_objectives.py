from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from metis_rise.policy.objectives import aggregate, group_advantages, policy_loss


def test_advantages_by_hand() -> None:
    # Mean 0.5, unbiased variance (4 * 0.25) / 3.
    deviation = math.sqrt(1 / 3)
    got = group_advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), eps=0.0)
    torch.testing.assert_close(got, torch.tensor([[0.5, -0.5, -0.5, 0.5]]) / deviation)


def test_advantages_add_eps_to_the_deviation() -> None:
    got = group_advantages(torch.tensor([[2.0, 0.0]]), eps=1.0)
    torch.testing.assert_close(got, torch.tensor([[1.0, -1.0]]) / (math.sqrt(2) + 1))


def test_advantages_without_scale() -> None:
    got = group_advantages(torch.tensor([[3.0, 0.0, 0.0], [1.0, 2.0, 3.0]]), scale="none")
    torch.testing.assert_close(got, torch.tensor([[2.0, -1.0, -1.0], [-1.0, 0.0, 1.0]]))


@pytest.mark.parametrize("value", [0.0, 0.1, 1.1])
def test_equal_rewards_have_no_advantage(value: float) -> None:
    # 0.1 and 1.1 are inexact: the mean of seven of them may differ from each of them.
    rewards = torch.full((2, 7), value)
    assert torch.equal(group_advantages(rewards), torch.zeros(2, 7))
    assert torch.equal(group_advantages(torch.full((2, 1), value)), torch.zeros(2, 1))


def test_loss_by_hand_on_both_sides_of_the_clip() -> None:
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.25, 1.0])
    advantages = torch.tensor([2.0, -2.0, 2.0, -2.0, 1.0, 3.0])
    old = torch.full((6,), -1.0)
    loss, figures = policy_loss(old + ratios.log(), old, advantages, clip_low=0.2, clip_high=0.28)
    expected = -torch.tensor([1.28 * 2, 1.5 * -2, 0.5 * 2, 0.8 * -2, 1.25, 3.0])
    torch.testing.assert_close(loss, expected)
    assert figures["clip_high"].item() == pytest.approx(1 / 6)
    assert figures["clip_low"].item() == pytest.approx(1 / 6)
    assert figures["ratio"].item() == pytest.approx(ratios.mean().item())


def test_clipped_tokens_have_no_gradient() -> None:
    logp = torch.tensor([math.log(1.5), math.log(0.5), math.log(1.1)], requires_grad=True)
    loss, _ = policy_loss(logp, torch.zeros(3), torch.tensor([1.0, -1.0, 1.0]))
    loss.sum().backward()
    assert logp.grad is not None
    torch.testing.assert_close(logp.grad, torch.tensor([0.0, 0.0, -1.1]))


def test_importance_weight_is_truncated_and_constant() -> None:
    logp = torch.zeros(2, requires_grad=True)
    sampler = torch.tensor([-math.log(5.0), math.log(2.0)])
    loss, _ = policy_loss(logp, logp.detach(), torch.ones(2), sampler, importance_cap=3.0)
    torch.testing.assert_close(loss.detach(), torch.tensor([-3.0, -0.5]))
    loss.sum().backward()
    assert logp.grad is not None
    torch.testing.assert_close(logp.grad, torch.tensor([-3.0, -0.5]))


def test_kl_by_hand() -> None:
    logp, ref = torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.25)])
    loss, figures = policy_loss(logp, logp, torch.zeros(1), ref_logp=ref, kl_weight=0.1)
    k3 = 0.5 - math.log(0.5) - 1
    assert figures["kl"].item() == pytest.approx(k3)
    assert loss.item() == pytest.approx(0.1 * k3)


def test_aggregates_by_hand() -> None:
    loss = torch.tensor([1.0, 3.0, 5.0, 7.0, 9.0])
    lengths = [2, 3]
    assert aggregate(loss, lengths, "token", total=5).item() == pytest.approx(5.0)
    assert aggregate(loss, lengths, "sequence", total=2).item() == pytest.approx((2.0 + 7.0) / 2)
    assert aggregate(loss, lengths, "constant", total=2 * 10).item() == pytest.approx(25 / 20)


@pytest.mark.parametrize(("mode", "total"), [("token", 9), ("sequence", 3), ("constant", 30)])
def test_aggregates_of_micro_batches_add_up(mode: str, total: int) -> None:
    loss = torch.arange(9.0) ** 2
    whole = aggregate(loss, [2, 3, 4], mode, total)  # type: ignore[arg-type]
    parts = aggregate(loss[:5], [2, 3], mode, total) + aggregate(loss[5:], [4], mode, total)  # type: ignore[arg-type]
    torch.testing.assert_close(parts, whole)


def trl_loss(
    logp: Tensor, old: Tensor, ref: Tensor, advantages: Tensor, mask: Tensor, beta: float, kind: str
) -> Tensor:
    """TRL's own GRPOTrainer._compute_loss on given log-probabilities [B, T], as in one step without accumulation."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    class Metrics(dict[str, list[float]]):
        def __missing__(self, key: str) -> list[float]:
            return self.setdefault(key, [])

    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (logp, torch.zeros_like(logp), None),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=beta,
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        loss_type=kind,
        epsilon_low=0.2,
        epsilon_high=0.28,
        use_vllm=False,
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x),
        current_gradient_accumulation_steps=1,
        max_completion_length=mask.shape[1],
        _entropy_bonus_enabled=False,
        _metrics={"train": Metrics()},
    )
    inputs = {
        "prompt_ids": torch.zeros(len(mask), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(mask), 1, dtype=torch.long),
        "completion_ids": torch.zeros(mask.shape, dtype=torch.long),
        "completion_mask": mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": ref,
        "num_items_in_batch": mask.sum(),
    }
    result: Tensor = GRPOTrainer._compute_loss(trainer, None, inputs)
    return result


@pytest.mark.parametrize("beta", [0.0, 0.05])
@pytest.mark.parametrize(("kind", "mode"), [("dapo", "token"), ("grpo", "sequence"), ("dr_grpo", "constant")])
def test_loss_and_gradient_equal_trl(kind: str, mode: str, beta: float) -> None:
    torch.manual_seed(3)
    rows, width = 6, 9
    lengths = [9, 1, 4, 7, 2, 5]
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    old = -torch.rand(rows, width) * 3
    ref = old + 0.3 * torch.randn(rows, width)
    start = old + 0.4 * torch.randn(rows, width)
    advantages = group_advantages(torch.tensor([[1.0, 0.0, 0.0], [1.1, 0.1, 1.1]])).flatten()

    theirs = start.clone().requires_grad_()
    expected = trl_loss(theirs, old, ref, advantages, mask, beta, kind)
    expected.backward()

    ours = start.clone().requires_grad_()
    per_token = advantages[:, None].expand(rows, width)[mask]
    loss, figures = policy_loss(ours[mask], old[mask], per_token, ref_logp=ref[mask], kl_weight=beta)
    total = {"token": sum(lengths), "sequence": rows, "constant": rows * width}[mode]
    got = aggregate(loss, lengths, mode, total)  # type: ignore[arg-type]
    got.backward()

    assert figures["clip_low"] > 0 and figures["clip_high"] > 0, "the case must clip on both sides"
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)
