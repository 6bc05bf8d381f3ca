"""Attention for sampling: the keys and values of a prompt are kept once, however many completions follow it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Room for own keys and values is made for this many tokens at first and doubled when it runs out.
FIRST_ROOM = 64


class Prefill:
    """Causal attention over right-padded prompts that keeps the keys and values of each layer."""

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """See `policy.attention.Layout`; layers come in order."""
        assert layer == len(self.keys)
        self.keys.append(key)
        self.values.append(value)
        grouped = query.shape[1] != key.shape[1]
        output = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped)
        return output.transpose(1, 2)


@dataclass
class _Layer:
    """Keys and values of one layer: [B x kv heads, P, dim] of the prompts, [R x kv heads, room, dim] of the rows."""

    prefix_key: Tensor
    prefix_value: Tensor
    own_key: Tensor
    own_value: Tensor


class Decode:
    """Attention of one new token per row to the row's prompt and to its own tokens so far.

    The R rows are ordered by prompt. For the prompt's part they are laid on a grid [prompts, width] and the queries
    of a prompt's rows and of the heads that share a key head become the rows of one matrix product.
    """

    def __init__(self, prefill: Prefill, lengths: Tensor, prompt_of: Tensor) -> None:
        """Take over the prompts' keys and values.

        Args:
            prefill: after its forward pass over B prompts padded to P.
            lengths: [B], tokens of each prompt.
            prompt_of: [R] sorted, the prompt of each row.
        """
        first = prefill.keys[0]
        self.kv_heads, self.tokens = first.shape[1], 0
        self.room = FIRST_ROOM
        rows = len(prompt_of) * self.kv_heads
        self._layers = [
            _Layer(
                key.flatten(0, 1),
                value.flatten(0, 1),
                key.new_empty(rows, self.room, key.shape[-1]),
                value.new_empty(rows, self.room, value.shape[-1]),
            )
            for key, value in zip(prefill.keys, prefill.values, strict=True)
        ]
        beyond = torch.arange(first.shape[2], device=first.device) >= lengths[:, None]
        self._mask = torch.zeros(beyond.shape, dtype=first.dtype, device=first.device)
        self._mask.masked_fill_(beyond, -torch.inf)
        self._arrange(prompt_of)

    def _arrange(self, prompt_of: Tensor) -> None:
        """Place rows on the grid; `prompt_of` [R] counts from 0 without gaps."""
        counts = prompt_of.bincount()
        self.prompts, self.width = len(counts), int(counts.max())
        self.prompt_of = prompt_of
        rank = torch.arange(len(prompt_of), device=prompt_of.device) - (counts.cumsum(0) - counts)[prompt_of]
        cells = prompt_of * self.width + rank
        self._cells = None if len(cells) == self.prompts * self.width else cells
        self._bias = self._mask.repeat_interleave(self.kv_heads, 0)[:, None]

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but `rows` [R'] (ascending indices), and the prompts that have none left."""
        left = self.prompt_of[rows]
        used = left.bincount(minlength=self.prompts).nonzero()[:, 0]
        prompt_of = torch.searchsorted(used, left)
        heads = torch.arange(self.kv_heads, device=rows.device)
        row_heads = (rows[:, None] * self.kv_heads + heads).flatten()
        used_heads = (used[:, None] * self.kv_heads + heads).flatten()
        for layer in self._layers:
            layer.own_key, layer.own_value = layer.own_key[row_heads], layer.own_value[row_heads]
            if len(used) < self.prompts:
                layer.prefix_key, layer.prefix_value = layer.prefix_key[used_heads], layer.prefix_value[used_heads]
        self._mask = self._mask[used]
        self._arrange(prompt_of)

    def advance(self) -> None:
        """Make room for one more token per row; call before each forward pass."""
        self.tokens += 1
        if self.tokens > self.room:
            for layer in self._layers:
                layer.own_key = F.pad(layer.own_key, (0, 0, 0, self.room))
                layer.own_value = F.pad(layer.own_value, (0, 0, 0, self.room))
            self.room *= 2

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """See `policy.attention.Layout`; query [R, heads, 1, dim], key and value [R, kv heads, 1, dim]."""
        rows, heads, _, dim = query.shape
        shared = heads // self.kv_heads
        kept, now = self._layers[layer], self.tokens
        kept.own_key[:, now - 1], kept.own_value[:, now - 1] = key.flatten(0, 2), value.flatten(0, 2)
        query = (query * scaling).view(rows * self.kv_heads, shared, dim)
        to_prefix = torch.baddbmm(self._bias, self._to_grid(query), kept.prefix_key.transpose(1, 2))
        to_own = torch.bmm(query, kept.own_key[:, :now].transpose(1, 2))
        scores = torch.cat([self._to_rows(to_prefix, shared), to_own], -1)
        weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        over_prefix, over_own = torch.split(weights, [scores.shape[-1] - now, now], -1)
        from_prefix = self._to_rows(torch.bmm(self._to_grid(over_prefix), kept.prefix_value), shared)
        output = torch.baddbmm(from_prefix, over_own, kept.own_value[:, :now])
        return output.view(rows, 1, heads, dim)

    def _to_grid(self, rows: Tensor) -> Tensor:
        """[R x kv heads, shared, X] -> [B x kv heads, width x shared, X]; cells without a row hold zeros."""
        _, shared, size = rows.shape
        rows = rows.reshape(-1, self.kv_heads, shared, size)
        if self._cells is not None:
            grid = rows.new_zeros(self.prompts * self.width, self.kv_heads, shared, size)
            rows = grid.index_copy_(0, self._cells, rows)
        rows = rows.view(self.prompts, self.width, self.kv_heads, shared, size).transpose(1, 2)
        return rows.reshape(self.prompts * self.kv_heads, self.width * shared, size)

    def _to_rows(self, grid: Tensor, shared: int) -> Tensor:
        """The way back of `_to_grid`."""
        size = grid.shape[-1]
        rows = grid.view(self.prompts, self.kv_heads, self.width, shared, size).transpose(1, 2)
        rows = rows.reshape(self.prompts * self.width, self.kv_heads, shared, size)
        if self._cells is not None:
            rows = rows[self._cells]
        return rows.reshape(-1, shared, size)
