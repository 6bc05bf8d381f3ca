"""Shared-prefix attention on CUDA through torch's variable-length flash attention: one call per layer.

Every prompt and every completion is a sequence of queries. A completion's keys are its prompt's and its own, gathered
by index (the backward pass of that gathering sums a prompt's gradient over its completions), and the causal mask is
aligned at the bottom right: the last query sees the last key.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import torch
from torch import Tensor
from torch.nn.attention import varlen

from metis_rise.policy.backends import sdpa
from metis_rise.policy.layout import Spans
from metis_rise.policy.packing import Block

DTYPES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class _Sequences:
    """`gather` [Tk'] int64: the key that each sequence reads at each place; bounds int32 [sequences + 1]."""

    gather: Tensor
    query_bounds: Tensor
    key_bounds: Tensor
    longest_query: int
    longest_key: int


def attend(query: Tensor, key: Tensor, value: Tensor, spans: Spans, scaling: float) -> Tensor:
    """See `layout.Attend`; bfloat16 or float16 on CUDA."""
    sequences = _sequences(spans)
    query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))
    output = varlen.varlen_attn(
        query.contiguous(),
        key[sequences.gather],
        value[sequences.gather],
        sequences.query_bounds,
        sequences.key_bounds,
        sequences.longest_query,
        sequences.longest_key,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(output, Tensor)
    return output[None]


# All layers of a forward pass, and their recomputation, ask for the same one.
@lru_cache(maxsize=8)
def _sequences(spans: Spans) -> _Sequences:
    gathers: list[Tensor] = []
    queries: list[int] = []
    for block in spans.blocks:
        prompt = torch.arange(block.start, block.first)
        if not spans.kept:
            gathers.append(prompt)
            queries.append(block.prefix)
        for start, length in zip(block.starts(), block.lengths, strict=True):
            gathers.append(torch.cat([prompt, torch.arange(start, start + length)]))
            queries.append(length)
    keys = [len(gather) for gather in gathers]
    return _Sequences(
        torch.cat(gathers).to(spans.device),
        _bounds(queries).to(spans.device),
        _bounds(keys).to(spans.device),
        max(queries),
        max(keys),
    )


def _bounds(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


@cache
def fault(device: torch.device) -> str | None:
    """Why the kernel cannot be used on `device`; None when it can."""
    return kernel_fault(device) if device.type == "cuda" else f"needs CUDA, not {device.type}"


def kernel_fault(device: torch.device) -> str | None:
    """What is wrong with the kernel's answer to a small case; None when it is the oracle's.

    The case has more keys than queries, so that a mask aligned at the top left is found out.
    """
    generator = torch.Generator().manual_seed(0)
    spans = Spans((Block(0, 5, (1, 3)), Block(9, 2, (4,))), 0, device)
    query, key, value = (
        torch.randn(1, heads, 15, 64, generator=generator).to(device, torch.bfloat16) for heads in (4, 2, 2)
    )
    try:
        got = attend(query, key, value, spans, 0.125)
    except RuntimeError as error:
        return f"torch's varlen_attn does not run here ({str(error).splitlines()[0]})"
    expected = sdpa.attend(query.float(), key.float(), value.float(), spans, 0.125)
    difference = float((got.float() - expected).abs().max())
    # Outputs are of size 1, bfloat16 keeps 8 bits; a wrong mask differs by about 1.
    return None if difference < 0.05 else f"torch's varlen_attn differs from the oracle by {difference:.2f} here"
