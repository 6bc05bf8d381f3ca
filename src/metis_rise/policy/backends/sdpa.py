"""Shared-prefix attention from torch's own scaled_dot_product_attention: any device, any dtype, the oracle."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from metis_rise.policy.layout import Spans
from metis_rise.policy.packing import Block


def attend(query: Tensor, key: Tensor, value: Tensor, spans: Spans, scaling: float) -> Tensor:
    """See `layout.Attend`. Completions are padded to [G, longest] and see copies of their prompt's keys and values."""
    query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))
    outputs = []
    for block in spans.blocks:
        if not spans.kept:
            prompt = slice(block.start, block.first)
            outputs.append(_sdpa(query[None, prompt], key[None, prompt], value[None, prompt], None, scaling)[0])
        if block.lengths:
            outputs.append(_completions(query, key, value, block, spans.kept, scaling))
    return torch.cat(outputs)[None]


def _completions(query: Tensor, key: Tensor, value: Tensor, block: Block, kept: int, scaling: float) -> Tensor:
    """[completed, heads, dim] from [tokens, heads, dim]."""
    count, longest = len(block.lengths), max(block.lengths)
    queries = _padded(query[block.first - kept : block.stop - kept], block)
    keys, values = (
        torch.cat([states[None, block.start : block.first].expand(count, -1, -1, -1), _padded(own, block)], 1)
        for states, own in ((key, key[block.first : block.stop]), (value, value[block.first : block.stop]))
    )
    # Causal from the bottom right: a completion's token sees the prompt and its own predecessors.
    mask = torch.ones(longest, block.prefix + longest, dtype=torch.bool, device=query.device).tril(block.prefix)
    output = _sdpa(queries, keys, values, mask, scaling)
    return torch.cat([output[i, :length] for i, length in enumerate(block.lengths)])


def _padded(states: Tensor, block: Block) -> Tensor:
    return pad_sequence(list(torch.split(states, list(block.lengths))), batch_first=True)


def _sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
    """[batch, tokens, heads, dim] throughout; without a mask causal from the top left."""
    query, key, value = (states.transpose(1, 2) for states in (query, key, value))
    grouped = query.shape[1] != key.shape[1]
    output = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
    )
    return output.transpose(1, 2)
