"""The CUDA backend's indices, with stand-ins for its kernel: one as documented, one that is silently wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metis_rise.errors import InputError
from metis_rise.policy import backends
from metis_rise.policy.backends import sdpa, varlen
from metis_rise.policy.layout import Spans
from metis_rise.policy.packing import Block

CPU = torch.device("cpu")


def bottom_right(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_bounds: Tensor,
    key_bounds: Tensor,
    longest_query: int,
    longest_key: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
    top_left: bool = False,
) -> Tensor:
    """What torch.nn.attention.varlen.varlen_attn is documented to do, one sequence and head after the other."""
    assert window_size == (-1, 0) and query_bounds.dtype == key_bounds.dtype == torch.int32
    assert longest_query == int(query_bounds.diff().max()) and longest_key == int(key_bounds.diff().max())
    shared = query.shape[1] // key.shape[1]
    assert enable_gqa == (shared > 1)
    outputs = []
    for first, last, start, stop in zip(
        query_bounds[:-1].tolist(),
        query_bounds[1:].tolist(),
        key_bounds[:-1].tolist(),
        key_bounds[1:].tolist(),
        strict=True,
    ):
        queries, keys = last - first, stop - start
        hidden = ~torch.ones(queries, keys, dtype=torch.bool).tril(0 if top_left else keys - queries)
        heads = []
        for head in range(query.shape[1]):
            scores = query[first:last, head] @ key[start:stop, head // shared].t() * scale
            heads.append(scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value[start:stop, head // shared])
        outputs.append(torch.stack(heads, 1))
    return torch.cat(outputs)


def top_left(*args: Any, **more: Any) -> Tensor:
    return bottom_right(*args, **more, top_left=True)


def test_the_check_passes_a_kernel_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varlen.varlen, "varlen_attn", bottom_right)
    assert varlen.kernel_fault(CPU) is None


def test_the_check_finds_a_mask_aligned_at_the_top_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varlen.varlen, "varlen_attn", top_left)
    fault = varlen.kernel_fault(CPU)
    assert fault is not None and "differs from the oracle" in fault


def test_the_check_says_why_a_kernel_does_not_run() -> None:
    fault = varlen.kernel_fault(CPU)
    assert fault is not None and "does not run here" in fault


def test_completions_behind_a_kept_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varlen.varlen, "varlen_attn", bottom_right)
    spans = Spans((Block(0, 6, (1, 4, 4)),), 6, CPU)
    query, key, value = torch.randn(1, 4, 9, 8), torch.randn(1, 2, 15, 8), torch.randn(1, 2, 15, 8)
    torch.testing.assert_close(varlen.attend(query, key, value, spans, 0.3), sdpa.attend(query, key, value, spans, 0.3))


def test_choice_of_a_backend() -> None:
    chosen = backends.choose("auto", CPU, torch.float32)
    assert chosen.name == "cascade" and "cpu" in chosen.reason
    assert backends.choose("sdpa", CPU, torch.float32).name == "sdpa"
    with pytest.raises(InputError, match="'varlen' needs CUDA, not cpu"):
        backends.choose("varlen", CPU, torch.bfloat16)
    with pytest.raises(InputError, match="'flex' is not one of auto, sdpa, cascade, varlen"):
        backends.choose("flex", CPU, torch.float32)


def test_a_fallback_says_what_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    chosen = backends.choose("auto", cuda, torch.float32)
    assert chosen.name == "sdpa" and "varlen is faster but needs bfloat16 or float16, not float32" in chosen.reason
    monkeypatch.setattr(varlen, "fault", lambda device: "differs from the oracle by 0.93 here")
    chosen = backends.choose("auto", cuda, torch.bfloat16)
    assert chosen.name == "sdpa" and "differs from the oracle by 0.93" in chosen.reason
    monkeypatch.setattr(varlen, "fault", lambda device: None)
    assert backends.choose("auto", cuda, torch.bfloat16).name == "varlen"
    with pytest.raises(InputError, match="'cascade' runs on the CPU only, not on cuda"):
        backends.choose("cascade", cuda, torch.bfloat16)
