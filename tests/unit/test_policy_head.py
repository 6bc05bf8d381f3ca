from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from metis_rise.policy import head
from metis_rise.policy.head import token_logprobs

COUNT, HIDDEN, VOCABULARY = 37, 12, 91


@pytest.fixture(params=[5, 37, 512])
def positions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Several parts and a rest, exactly one, and less than one."""
    monkeypatch.setattr(head, "POSITIONS", request.param)
    size: int = request.param
    return size


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(COUNT, HIDDEN, generator=draw).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, HIDDEN, generator=draw).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(VOCABULARY, (COUNT,), generator=draw)


def plain(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    log_probs = (hidden @ weight.t() / temperature).float().log_softmax(-1)
    entropy = torch.distributions.Categorical(logits=log_probs).entropy()
    return log_probs[range(len(targets)), targets], entropy.detach()


@pytest.mark.parametrize("kept", [0, 1 << 21], ids=["computed again", "kept"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_equal_to_log_softmax(positions: int, temperature: float, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "KEPT_LOGITS", kept)
    hidden, weight, targets = inputs()
    slopes = torch.randn(COUNT, generator=torch.Generator().manual_seed(1))
    expected, entropy = plain(hidden, weight, targets, temperature)
    got, got_entropy = token_logprobs(hidden, weight, targets, temperature)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(got_entropy, entropy)
    assert not got_entropy.requires_grad
    torch.testing.assert_close(
        torch.autograd.grad((got * slopes).sum(), (hidden, weight)),
        torch.autograd.grad((expected * slopes).sum(), (hidden, weight)),
        atol=1e-5,
        rtol=1e-5,
    )


def test_a_frozen_head_still_sends_gradients_to_what_is_below() -> None:
    hidden, weight, targets = inputs()
    expected = torch.autograd.grad(plain(hidden, weight, targets, 1.0)[0].sum(), hidden)
    got, _ = token_logprobs(hidden, weight.detach(), targets, 1.0)
    torch.testing.assert_close(torch.autograd.grad(got.sum(), hidden), expected, atol=1e-5, rtol=1e-5)


def test_large_logits_do_not_overflow() -> None:
    hidden, weight, targets = inputs()
    got, entropy = token_logprobs(1000 * hidden, weight, targets, 1.0)
    expected, _ = plain(1000 * hidden, weight, targets, 1.0)
    assert torch.isfinite(entropy).all()
    torch.testing.assert_close(got, expected)


def test_half_precision(positions: int) -> None:
    hidden, weight, targets = inputs(torch.bfloat16)
    got, entropy = token_logprobs(hidden, weight, targets, 1.0)
    assert got.dtype == entropy.dtype == torch.float32
    torch.testing.assert_close(got, plain(hidden.float(), weight.float(), targets, 1.0)[0], atol=0.1, rtol=0.05)
    for grad, full in zip(
        torch.autograd.grad(got.sum(), (hidden, weight)),
        torch.autograd.grad(plain(hidden.float(), weight.float(), targets, 1.0)[0].sum(), (hidden, weight)),
        strict=True,
    ):
        assert grad.dtype == torch.bfloat16
        assert (grad.float() - full.float()).norm() < 0.02 * full.float().norm()


class Widest(TorchDispatchMode):
    """Remembers the most rows of any tensor that has the vocabulary as one side."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tensors(result):
            if tensor.ndim == 2 and VOCABULARY in tensor.shape and HIDDEN not in tensor.shape:
                self.rows = max(self.rows, tensor.numel() // VOCABULARY)
        return result


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_all_tokens_never_exist(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "POSITIONS", 5)
    hidden, weight, targets = inputs(dtype)
    with Widest() as seen:
        token_logprobs(hidden, weight, targets, 0.6)[0].sum().backward()
    assert seen.rows == 5
    with Widest() as full:
        plain(hidden, weight, targets, 0.6)[0].sum().backward()
    assert full.rows == COUNT, "what is looked for must be found where it is"


def test_autocast_computes_in_its_type() -> None:
    hidden, weight, targets = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        got, _ = token_logprobs(hidden, weight, targets, 1.0)
    grads = torch.autograd.grad(got.sum(), (hidden, weight))
    assert {got.dtype, *(grad.dtype for grad in grads)} == {torch.float32}
    exact = plain(hidden, weight, targets, 1.0)[0]
    assert 0 < (got - exact).abs().max() < 0.1
