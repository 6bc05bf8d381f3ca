"""Norms, feed-forwards and the last layer keep less and compute less than transformers', and say the same."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from naive import naive_logprobs, relative_error, short_rows, take_gradients
from torch import Tensor, nn

from metis_rise.policy import last_layer, lean
from metis_rise.policy.forward import completion_logprobs, score
from metis_rise.policy.loading import load_model
from metis_rise.policy.model import Policy
from metis_rise.policy.processor import load_processor

WIDTH, FORWARD, TOKENS = 24, 40, 7


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"), request.param)


def make(kind: Any, activation: str = "silu") -> nn.Module:
    """A module of transformers with random weights."""
    torch.manual_seed(0)
    if kind in lean.NORMS:
        module = kind(WIDTH)
        nn.init.normal_(module.weight)
    else:
        module = kind(SimpleNamespace(hidden_size=WIDTH, intermediate_size=FORWARD, hidden_act=activation))
    return module


def leaned(module: nn.Module) -> nn.Module:
    copy = deepcopy(module)
    lean.install(copy)
    assert type(copy) is not type(module) and isinstance(copy, type(module))
    return copy


def run(module: nn.Module, dtype: torch.dtype) -> tuple[Tensor, list[Tensor], int]:
    """Output, gradients of the input and the parameters, and how many numbers [TOKENS, ...] were kept for them."""
    draw = torch.Generator().manual_seed(1)
    states, slope = (torch.randn(1, TOKENS, WIDTH, generator=draw).to(dtype) for _ in range(2))
    states.requires_grad_()
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.shape[:2] == (1, TOKENS) or tensor.shape[:1] == (TOKENS,):
            kept[tensor.data_ptr()] = tensor
        return tensor

    module = module.to(dtype)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = module(states)
    trained = [value for value in module.parameters() if value.requires_grad]
    gradients = torch.autograd.grad(output, [states, *trained], slope)
    return output.detach(), list(gradients), sum(tensor.numel() for tensor in kept.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [*lean.NORMS, *lean.MLPS])
def test_the_same_output_to_the_bit_and_the_same_gradients(kind: Any, dtype: torch.dtype) -> None:
    module = make(kind)
    expected, wanted, much = run(module, dtype)
    output, gradients, little = run(leaned(module), dtype)
    assert torch.equal(output, expected)
    # Ours rounds to bfloat16 once, at the end.
    bounds = {torch.float32: 1e-6, torch.bfloat16: 2e-2}
    for got, want in zip(gradients, wanted, strict=True):
        assert got.dtype == dtype and (got - want).float().norm() <= bounds[dtype] * want.float().norm()
    if kind in lean.MLPS:
        assert little == much - TOKENS * FORWARD
    else:
        assert little == TOKENS * (WIDTH + 1) < much


@pytest.mark.parametrize("kind", [*lean.NORMS, *lean.MLPS])
def test_what_is_frozen_gets_no_gradient_and_passes_it_on(kind: Any) -> None:
    module = make(kind).requires_grad_(False)
    _, (want,), _ = run(module, torch.float32)
    _, (got,), _ = run(leaned(module), torch.float32)
    torch.testing.assert_close(got, want)


def test_another_activation_stays_as_it_is() -> None:
    for kind in lean.MLPS:
        module = make(kind, "gelu")
        lean.install(module)
        assert type(module) is kind


def test_installing_twice_changes_nothing_more() -> None:
    module = nn.ModuleList([leaned(make(kind)) for kind in (*lean.NORMS, *lean.MLPS)])
    before = [type(each) for each in module]
    lean.install(module)
    assert [type(each) for each in module] == before


def plain_reference(folder: Path, policy: Policy, layers: int | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Log-probabilities and gradients of transformers' own model, untouched, on the naive batch."""
    plain = cut_down(load_model(folder, torch.float32).eval(), layers)
    assert not last_layer.is_cut(plain.model)
    stand_in: Any = SimpleNamespace(
        model=plain, core=plain.model, pad_id=policy.pad_id, named_trainable=plain.named_parameters
    )
    values, _ = naive_logprobs(stand_in, short_rows(policy))
    (values * slopes(values)).sum().backward()
    return values.detach(), take_gradients(stand_in)


def slopes(values: Tensor) -> Tensor:
    return torch.randn(len(values), generator=torch.Generator().manual_seed(2))


def cut_down(model: Any, layers: int | None) -> Any:
    if layers is not None:
        model.model.language_model.layers = model.model.language_model.layers[:layers]
        model.config.text_config.num_hidden_layers = layers
    return model


@pytest.mark.parametrize("layers", [None, 2], ids=["whole", "as few layers as deepstack levels"])
def test_equal_to_a_model_of_transformers_that_was_left_alone(folder: Path, layers: int | None) -> None:
    model = cut_down(load_model(folder, torch.float32).eval(), layers)
    policy = Policy(model, load_processor(folder), {}, freeze_vision=False)
    deepstack = policy.model.config.model_type == "qwen3_vl"
    assert last_layer.is_cut(policy.core) == (layers is None or not deepstack)
    expected, gradients = plain_reference(folder, policy, layers)
    values = completion_logprobs(policy, short_rows(policy)).values
    (values * slopes(values)).sum().backward()
    torch.testing.assert_close(values.detach(), expected, atol=1e-4, rtol=0)
    assert relative_error(take_gradients(policy), gradients) < 1e-5


def test_the_last_feed_forward_sees_what_is_asked_for(folder: Path) -> None:
    policy = Policy.load(folder)
    rows, layers, seen = short_rows(policy), policy.core.language_model.layers, {}
    for number in (0, len(layers) - 1):
        seen[number] = []
        layers[number].mlp.register_forward_pre_hook(lambda _, args, at=number: seen[at].append(args[0].shape[1]))
    for _ in score(policy, rows):
        pass
    whole, completed = sum(len(prompt) for prompt in {id(p): p for p, _ in rows}.values()), 22
    assert seen == {0: [whole + completed], len(layers) - 1: [completed]}
    # One group whose completions go apart: the prompt's end alone, then both completions.
    prompt = rows[0][0]
    for each in seen.values():
        each.clear()
    for _ in score(policy, rows[:2], token_budget=len(prompt) + 10):
        pass
    assert seen == {0: [len(prompt), 5, 9], len(layers) - 1: [1, 5, 9]}


def test_without_a_layout_the_last_layer_returns_all_tokens(folder: Path) -> None:
    policy = Policy.load(folder)
    ids = torch.arange(20, 29)[None]
    assert policy.core(input_ids=ids, use_cache=False).last_hidden_state.shape[1] == 9
