from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metis_rise.policy.objectives import (
    OBJECTIVES,
    Mode,
    Scale,
    Settings,
    TokenBatch,
    aggregate,
    group_advantages,
    resolve,
)
from metis_rise.recipe.rl import RLConfig

NAMES = sorted(OBJECTIVES)
MODES: tuple[Mode, ...] = get_args(Mode)
CLIP = Settings(clip_low=0.2, clip_high=0.28)
TOKENWISE = ["grpo", "dr_grpo", "cispo"]


def batch(ratios: list[float], advantages: list[float], lengths: list[int] | None = None, **more: Tensor) -> TokenBatch:
    """Tokens of the given ratios whose old log-probability is -1."""
    old = torch.full((len(ratios),), -1.0)
    logp = (old + torch.tensor(ratios).log()).requires_grad_()
    return TokenBatch(logp, old, torch.tensor(advantages), lengths or [len(ratios)], **more)


def gradient(loss: Tensor, logp: Tensor) -> Tensor:
    return torch.autograd.grad(loss.sum(), logp)[0]


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


@pytest.mark.parametrize("name", ["grpo", "dr_grpo"])
def test_the_clipped_surrogate_by_hand_on_both_sides_of_the_clip(name: str) -> None:
    ratios = [1.5, 1.5, 0.5, 0.5, 1.25, 1.0]
    tokens = batch(ratios, [2.0, -2.0, 2.0, -2.0, 1.0, 3.0])
    loss, figures = OBJECTIVES[name].loss(tokens, CLIP)
    torch.testing.assert_close(loss, -torch.tensor([1.28 * 2, 1.5 * -2, 0.5 * 2, 0.8 * -2, 1.25, 3.0]))
    # Only the first (above, to be raised) and the fourth (below, to be lowered) are clipped.
    torch.testing.assert_close(gradient(loss, tokens.logp), -torch.tensor([0.0, 1.5 * -2, 0.5 * 2, 0.0, 1.25, 3.0]))
    assert figures["clip_high"].item() == pytest.approx(1 / 6)
    assert figures["clip_low"].item() == pytest.approx(1 / 6)
    assert figures["ratio"].item() == pytest.approx(sum(ratios) / 6)
    assert figures["kl_old"].item() == pytest.approx(sum(r - 1 - math.log(r) for r in ratios) / 6)
    assert set(figures) == {"clip_low", "clip_high", "ratio", "kl_old"}
    assert not any(figure.requires_grad for figure in figures.values())


def test_gspo_by_hand() -> None:
    # Geometric means: 1.5 (above), 0.5 (below), 1.1 (inside), 1.5 (above, to be lowered: not clipped).
    ratios = [3.0, 0.75, 0.5, 1.1, 1.1, 1.1, 1.5]
    spread = torch.tensor([1.5, 1.5, 0.5, 1.1, 1.1, 1.1, 1.5])
    advantages = [2.0, 2.0, -1.0, 3.0, 3.0, 3.0, -2.0]
    lengths = [2, 1, 3, 1]
    tokens = batch(ratios, advantages, lengths)
    loss, figures = OBJECTIVES["gspo"].loss(tokens, CLIP)
    rows = [1.28 * 2, 0.8 * -1, 1.1 * 3, 1.5 * -2]
    torch.testing.assert_close(loss, -torch.tensor(rows).repeat_interleave(torch.tensor(lengths)))
    whole = aggregate(loss, lengths, "sequence", 4)
    assert whole.item() == pytest.approx(-sum(rows) / 4)
    # The paper's gradient: s A / |y| for each token of a completion that is not clipped, over the 4 completions.
    torch.testing.assert_close(
        gradient(whole, tokens.logp), -torch.tensor([0.0, 0.0, 0.0, 1.1, 1.1, 1.1, 1.5 * -2]) / 4
    )
    assert figures["clip_high"].item() == pytest.approx(2 / 7)
    assert figures["clip_low"].item() == pytest.approx(1 / 7)
    assert figures["ratio"].item() == pytest.approx(spread.mean().item())
    assert figures["kl_old"].item() == pytest.approx(sum(r - 1 - math.log(r) for r in ratios) / 7)


def test_cispo_by_hand() -> None:
    ratios = [1.5, 1.5, 0.5, 1.1]
    advantages = torch.tensor([2.0, -2.0, -1.0, 3.0])
    tokens = batch(ratios, advantages.tolist())
    loss, figures = OBJECTIVES["cispo"].loss(tokens, CLIP)
    weight = torch.tensor([1.28, 1.28, 0.8, 1.1])
    torch.testing.assert_close(loss, -weight * advantages * (torch.tensor(ratios).log() - 1))
    # No token loses its gradient, and none flows through the weight.
    torch.testing.assert_close(gradient(loss, tokens.logp), -weight * advantages)
    assert figures["clip_high"].item() == pytest.approx(2 / 4)
    assert figures["clip_low"].item() == pytest.approx(1 / 4)
    assert figures["ratio"].item() == pytest.approx(sum(ratios) / 4)


@pytest.mark.parametrize("name", ["grpo", "cispo"])
def test_a_clip_low_of_one_sets_no_lower_bound(name: str) -> None:
    tokens = batch([1e-6], [-1.0])
    loss, figures = OBJECTIVES[name].loss(tokens, Settings(clip_low=1.0, clip_high=4.0))
    torch.testing.assert_close(gradient(loss, tokens.logp), torch.tensor([1e-6]))
    assert figures["clip_low"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_importance_weight_is_truncated_and_constant(name: str) -> None:
    sampler = torch.tensor([-1 - math.log(5.0), -1 + math.log(2.0)])
    plain, weighed = batch([1.1, 1.1], [1.0, 1.0]), batch([1.1, 1.1], [1.0, 1.0], sampler_logp=sampler)
    config, weight = Settings(0.2, 0.28, importance_cap=3.0), torch.tensor([3.0, 0.5])
    expected, _ = OBJECTIVES[name].loss(plain, config)
    loss, _ = OBJECTIVES[name].loss(weighed, config)
    torch.testing.assert_close(loss, weight * expected)
    # One completion of GSPO: both tokens have half of the gradient of each share of its loss.
    shares = weight if name in TOKENWISE else weight.mean().expand(2)
    torch.testing.assert_close(gradient(loss, weighed.logp), shares * gradient(expected, plain.logp))


@pytest.mark.parametrize("name", NAMES)
def test_kl_by_hand(name: str) -> None:
    ref = torch.tensor([-1 - math.log(2.0)])
    # Far off for the sampler: the penalty is not weighed.
    tokens = batch([1.0], [0.0], ref_logp=ref, sampler_logp=torch.tensor([-3.0]))
    loss, figures = OBJECTIVES[name].loss(tokens, Settings(0.2, 0.28, kl_weight=0.1))
    k3 = 0.5 - math.log(0.5) - 1
    assert figures["kl"].item() == pytest.approx(k3)
    assert loss.item() == pytest.approx(0.1 * k3)
    assert gradient(loss, tokens.logp).item() == pytest.approx(0.1 * (1 - 0.5))


def test_kl_old_keeps_its_digits_near_zero() -> None:
    old = torch.zeros(1)
    _, figures = OBJECTIVES["grpo"].loss(TokenBatch(old + 1e-3, old, old, [1]), CLIP)
    assert figures["kl_old"].item() == pytest.approx(5.0017e-7, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_kl_weight_needs_a_reference(name: str) -> None:
    with pytest.raises(ValueError, match=r"kl_weight is 0\.1"):
        OBJECTIVES[name].loss(batch([1.0], [1.0]), Settings(0.2, 0.28, kl_weight=0.1))


def test_a_batch_of_tensors_that_do_not_match_is_refused() -> None:
    with pytest.raises(ValueError, match=r"advantages is \[1\], but the lengths add up to 2 tokens"):
        TokenBatch(torch.zeros(2), torch.zeros(2), torch.ones(1), [1, 1])
    with pytest.raises(ValueError, match=r"logp is \[2\], but the lengths add up to 3 tokens"):
        TokenBatch(torch.zeros(2), torch.zeros(2), torch.ones(2), [1, 2])


def test_aggregates_by_hand() -> None:
    loss = torch.tensor([1.0, 3.0, 5.0, 7.0, 9.0])
    lengths = [2, 3]
    assert aggregate(loss, lengths, "token", total=5).item() == pytest.approx(5.0)
    assert aggregate(loss, lengths, "sequence", total=2).item() == pytest.approx((2.0 + 7.0) / 2)
    assert aggregate(loss, lengths, "constant", total=2 * 10).item() == pytest.approx(25 / 20)


def random_batch(lengths: list[int], seed: int) -> TokenBatch:
    generator = torch.Generator().manual_seed(seed)

    def noise(scale: float) -> Tensor:
        return scale * torch.randn(sum(lengths), generator=generator, dtype=torch.float64)

    old = -noise(1.0).abs()
    per_row = torch.randn(len(lengths), generator=generator, dtype=torch.float64)
    advantages = per_row.repeat_interleave(torch.tensor(lengths))
    logp = (old + noise(0.4)).requires_grad_()
    return TokenBatch(logp, old, advantages, lengths, old + noise(0.5), old + noise(0.3))


def rows_of(whole: TokenBatch, order: list[int]) -> TokenBatch:
    """The rows `order` of a batch, in that order."""

    def pick(tensor: Tensor) -> Tensor:
        parts = torch.split(tensor, list(whole.lengths))
        return torch.cat([parts[row] for row in order])

    assert whole.sampler_logp is not None and whole.ref_logp is not None
    return TokenBatch(
        pick(whole.logp),
        pick(whole.old_logp),
        pick(whole.advantages),
        [whole.lengths[row] for row in order],
        pick(whole.sampler_logp),
        pick(whole.ref_logp),
    )


def value_and_gradient(parts: list[TokenBatch], name: str, mode: Mode, logp: Tensor, total: int) -> tuple[Tensor, ...]:
    config = Settings(0.2, 0.28, kl_weight=0.05)
    losses = [aggregate(OBJECTIVES[name].loss(part, config)[0], part.lengths, mode, total) for part in parts]
    value = torch.stack(losses).sum()
    return value.detach(), torch.autograd.grad(value, logp)[0]


ROWS = st.lists(st.integers(1, 6), min_size=2, max_size=6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_add_up_to_the_whole(name: str, mode: Mode) -> None:
    whole = random_batch([3, 1, 4, 2], seed=5)
    total = {"token": 10, "sequence": 4, "constant": 4 * 7}[mode]
    parts = [rows_of(whole, [0, 1]), rows_of(whole, [2]), rows_of(whole, [3])]
    got = value_and_gradient(parts, name, mode, whole.logp, total)
    torch.testing.assert_close(got, value_and_gradient([whole], name, mode, whole.logp, total))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(lengths=ROWS, seed=st.integers(0, 2**16), data=st.data())
def test_the_order_of_rows_does_not_matter(
    name: str, mode: Mode, lengths: list[int], seed: int, data: st.DataObject
) -> None:
    whole = random_batch(lengths, seed)
    order = data.draw(st.permutations(range(len(lengths))))
    shuffled = rows_of(whole, list(order))
    got = value_and_gradient([shuffled], name, mode, whole.logp, total=7)
    torch.testing.assert_close(got, value_and_gradient([whole], name, mode, whole.logp, total=7))
    _, figures = OBJECTIVES[name].loss(shuffled, CLIP)
    torch.testing.assert_close(figures, OBJECTIVES[name].loss(whole, CLIP)[1])


def test_auto_stands_for_the_objective_s_own_settings() -> None:
    found = {name: resolve(name, "auto", "auto", "auto", "auto") for name in NAMES}
    assert found == OBJECTIVES
    own = {n: (o.clip_low, o.clip_high, o.advantage_scale, o.aggregation) for n, o in found.items()}
    assert own == {
        "grpo": (0.2, 0.28, "std", "token"),
        "dr_grpo": (0.2, 0.2, "none", "constant"),
        "gspo": (3e-4, 4e-4, "std", "sequence"),
        "cispo": (1.0, 4.0, "std", "token"),
    }


def test_explicit_settings_take_the_place_of_the_objective_s_own() -> None:
    one = resolve("gspo", 0.01, "auto", "none", "auto")
    assert (one.clip_low, one.clip_high, one.advantage_scale, one.aggregation) == (0.01, 4e-4, "none", "sequence")
    other = resolve("gspo", "auto", 0.02, "auto", "token")
    assert (other.clip_low, other.clip_high, other.advantage_scale, other.aggregation) == (3e-4, 0.02, "std", "token")
    assert one.loss is OBJECTIVES["gspo"].loss


def test_the_recipe_offers_every_objective_scale_and_aggregation() -> None:
    offered = {
        field: set(get_args(RLConfig.model_fields[field].annotation))
        for field in ("objective", "advantage_scale", "loss_aggregation")
    }
    assert offered == {
        "objective": set(OBJECTIVES),
        "advantage_scale": {"auto", *get_args(Scale)},
        "loss_aggregation": {"auto", *get_args(Mode)},
    }
