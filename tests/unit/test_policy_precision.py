"""Gradient checkpointing and autocast: the same numbers for less memory, and nearly the same for less work."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from naive import short_rows
from torch import Tensor

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.errors import InputError
from metis_rise.policy.forward import completion_logprobs, score
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.policy.prompt import Prompt
from metis_rise.recipe import LoraConfig
from metis_rise.types import AnswerType, Group, Problem

LORA = LoraConfig(rank=4, alpha=8.0)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"), request.param)


def update(policy: Policy, budget: int | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Log-probabilities in the order of `rows`, and the gradients of their sum."""
    found: dict[int, Tensor] = {}
    with policy.updating():
        for scored in score(policy, short_rows(policy), token_budget=budget):
            scored.logprobs.values.sum().backward()
            pieces = torch.split(scored.logprobs.values.detach(), scored.logprobs.lengths)
            found |= dict(zip(scored.members, pieces, strict=True))
    gradients = {name: value.grad for name, value in policy.named_trainable() if value.grad is not None}
    return torch.cat([found[i] for i in sorted(found)]), gradients


def layer_calls(policy: Policy) -> list[str]:
    """Which layers ran, from now on; one entry per run."""
    calls: list[str] = []
    for name, module in policy.core.named_modules():
        if name.endswith("layers.3.mlp") or name.endswith("blocks.1.mlp"):
            module.register_forward_pre_hook(lambda module, args, name=name: calls.append(name))
    return calls


def computed_in(policy: Policy) -> set[torch.dtype]:
    """Types of what a layer of the language model returns, from now on."""
    seen: set[torch.dtype] = set()
    layer = policy.core.language_model.layers[2].mlp.down_proj
    layer.register_forward_hook(lambda module, args, output: seen.add(output.dtype))
    return seen


@pytest.mark.parametrize("budget", [None, 45])
@pytest.mark.parametrize("train", ["all", "language", "lora"])
def test_recomputed_layers_say_the_same(folder: Path, train: str, budget: int | None) -> None:
    settings = {"freeze_vision": train != "all", "lora": LORA if train == "lora" else None}
    plain = Policy.load(folder, **settings)  # type: ignore[arg-type]
    spare = Policy.load(folder, **settings, gradient_checkpointing=True)  # type: ignore[arg-type]
    expected, gradients = update(plain, budget)
    calls = layer_calls(spare)
    values, recomputed = update(spare, budget)
    torch.testing.assert_close(values, expected, atol=1e-6, rtol=0)
    assert gradients.keys() == recomputed.keys() and gradients
    for name, grad in gradients.items():
        assert float((recomputed[name] - grad).norm()) <= 1e-5 * float(grad.norm()) + 1e-9, name
    language = [name for name in calls if "language_model" in name]
    tower = [name for name in calls if "visual" in name]
    assert len(language) > 0 and len(language) % 2 == 0, "each layer runs once more in the backward pass"
    assert len(tower) == (2 if train == "all" else 1), "a frozen tower has no backward pass to run again for"


def test_layers_are_recomputed_only_while_updating(folder: Path) -> None:
    policy = Policy.load(folder, gradient_checkpointing=True)
    calls = layer_calls(policy)
    completion_logprobs(policy, short_rows(policy)).values.sum().backward()
    assert sum("language_model" in name for name in calls) == 1
    with pytest.raises(ZeroDivisionError), policy.updating():
        assert policy.model.training
        raise ZeroDivisionError
    assert not policy.model.training


@pytest.mark.parametrize("lora", [None, LORA])
def test_autocast_keeps_weights_and_gradients_in_float32(folder: Path, lora: LoraConfig | None) -> None:
    exact, policy = Policy.load(folder, lora=lora), Policy.load(folder, lora=lora, autocast=True)
    expected, gradients = update(exact)
    seen = computed_in(policy)
    values, rounded = update(policy)
    assert seen == {torch.bfloat16}
    assert values.dtype == torch.float32
    assert {value.dtype for value in policy.model.parameters()} == {torch.float32}
    assert {grad.dtype for grad in rounded.values()} == {torch.float32}
    assert 0 < float((values - expected).abs().max()) < 0.15
    assert rounded.keys() == gradients.keys()
    flat, other = (torch.cat([grad.flatten() for grad in each.values()]) for each in (gradients, rounded))
    assert float((flat - other).norm() / flat.norm()) < 0.1


def test_autocast_and_recomputation_go_together(folder: Path) -> None:
    _, gradients = update(Policy.load(folder, autocast=True))
    _, recomputed = update(Policy.load(folder, autocast=True, gradient_checkpointing=True))
    for name, grad in gradients.items():
        assert float((recomputed[name] - grad).norm()) <= 1e-5 * float(grad.norm()) + 1e-9, name


def test_a_step_under_autocast_uses_the_new_weights(folder: Path) -> None:
    policy = Policy.load(folder, autocast=True, lora=LORA)
    optimizer = Optimizer(policy)
    first, _ = update(policy)
    optimizer.step(1e-2)
    second, _ = update(policy)
    assert float((second - first).abs().max()) > 0.01


def sample(policy: Policy, prompt: Prompt, params: SamplingParams, n: int) -> Group:
    problem = Problem("p", "question", "1", AnswerType.NUMBER)
    (group,) = NativeEngine(policy, lambda problem: prompt).sample([Request(problem, n, params, seed=4)])
    return group


@pytest.mark.parametrize(("temperature", "count"), [(0.0, 1), (1.0, 3)])
def test_sampling_under_autocast_agrees_with_scoring(folder: Path, temperature: float, count: int) -> None:
    policy = Policy.load(folder, autocast=True)
    prompt = policy.encode(tiny.message("How many red dots?", 1), [tiny.picture(1)])
    seen = computed_in(policy)
    group = sample(policy, prompt, SamplingParams(temperature=temperature, max_tokens=16), count)
    assert seen == {torch.bfloat16}
    completions = [(prompt, torch.tensor(t.tokens)) for t in group.trajectories]
    with torch.no_grad():
        scored = completion_logprobs(policy, completions).values
    sampled = torch.cat([torch.tensor(t.logprobs) for t in group.trajectories])
    assert len(sampled) >= 3 * count
    assert float((scored - sampled).abs().max()) < 0.15
    with torch.no_grad():
        exact = completion_logprobs(Policy.load(folder), completions).values
    assert float((sampled - exact).abs().max()) < 0.15


def test_autocast_needs_float32(folder: Path) -> None:
    with pytest.raises(InputError, match="needs float32"):
        Policy.load(folder, dtype="bfloat16", autocast=True)
