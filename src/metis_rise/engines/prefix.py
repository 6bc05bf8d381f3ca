"""Attention for sampling: the keys and values of a prompt are kept once, however many completions follow it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Room for own keys and values is made for this many tokens at first and doubled when it runs out.
FIRST_ROOM = 64

# Keys and values [kv heads, P, dim] of one prompt, layer by layer.
PromptStates = list[tuple[Tensor, Tensor]]


@dataclass
class _Layer:
    """Keys and values of one layer: [B, kv heads, P, dim] of the prompts, [R x kv heads, room, dim] of the rows."""

    prefix_key: Tensor
    prefix_value: Tensor
    own_key: Tensor
    own_value: Tensor


class RowLayout:
    """Attention of one new token per row to the row's prompt and to its own tokens so far.

    R rows are ordered by prompt. All of them write the states of a token into the same slot; a row that came later
    does not see the slots before its first, and slots that no row sees are given up.

    Own states lie in the order (prompt, head, row), so that the queries of a prompt's rows and of the heads that share
    a key head are, as they lie, the rows of one matrix product. That product is over a grid of B prompts by the most
    rows that one of them has; where some have fewer, states are copied into the grid and cells stay empty.
    """

    def __init__(self) -> None:
        """No rows yet: `rearrange` brings them."""
        self._lengths: list[int] = []
        self._counts: list[int] = []
        self._starts: list[int] = []
        self._used = self._room = 0
        self._layers: list[_Layer] = []

    def rearrange(self, kept: Sequence[int], prompts: Sequence[PromptStates], counts: Sequence[int]) -> None:
        """Go on with some rows, and with new ones behind them; prompts without rows are let go.

        Args:
            kept: rows, as ascending indices.
            prompts: new prompts.
            counts: rows of each of them.
        """
        if not self._layers:
            self._layers = [_no_states(key) for key, _ in prompts[0]]
        prompt_of = [prompt for prompt, count in enumerate(self._counts) for _ in range(count)]
        left = Counter(prompt_of[row] for row in kept)
        lead = min((self._starts[row] for row in kept), default=self._used)
        source = self._source(kept, list(left.values()))
        self._lengths = [self._lengths[prompt] for prompt in left] + [states[0][0].shape[1] for states in prompts]
        longest = max(self._lengths, default=0)
        self._used -= lead
        self._room = self._used + max(FIRST_ROOM, self._used)
        for number, layer in enumerate(self._layers):
            own = (self._own(states, source, lead, sum(counts)) for states in (layer.own_key, layer.own_value))
            layer.own_key, layer.own_value = own
            if prompts or len(left) < len(self._counts):
                new_keys, new_values = ([states[number][side] for states in prompts] for side in (0, 1))
                layer.prefix_key = _prefixes(layer.prefix_key, left, new_keys, longest)
                layer.prefix_value = _prefixes(layer.prefix_value, left, new_values, longest)
        self._counts = [*left.values(), *counts]
        self._starts = [self._starts[row] - lead for row in kept] + [self._used] * sum(counts)
        self._arrange()

    def _source(self, kept: Sequence[int], counts: Sequence[int]) -> Tensor:
        """Where the states of `kept` rows lie now, in the order in which they will lie."""
        places = _places(self._counts, self._kv_heads)[torch.tensor(kept, dtype=torch.long)]
        source = torch.empty(places.numel(), dtype=torch.long)
        source[_places(counts, self._kv_heads).flatten()] = places.flatten()
        return source.to(self._device)

    def _own(self, states: Tensor, source: Tensor, lead: int, new: int) -> Tensor:
        moved = states.new_empty(len(source) + new * self._kv_heads, self._room, states.shape[-1])
        moved[: len(source), : self._used] = states[source, lead : lead + self._used]
        # Slots before a row's first one get no weight, but zero times what lies in memory could be NaN.
        moved[len(source) :, : self._used] = 0
        return moved

    def _arrange(self) -> None:
        """What `attend` needs to know of the order of rows and of what they do not see."""
        heads, like = self._kv_heads, self._layers[0].own_key
        self._prompts, self._width = len(self._counts), max(self._counts, default=0)
        places = _places(self._counts, heads)
        order = torch.empty(places.numel(), dtype=torch.long)
        order[places.flatten()] = torch.arange(places.numel()).view(heads, -1).t().flatten()
        full = len(self._starts) == self._prompts * self._width
        self._order = None if full else order.to(self._device)
        self._places = places.flatten().to(self._device)
        self._cells = _cells(self._counts, heads).to(self._device)
        lengths, starts = torch.tensor(self._lengths), torch.tensor(self._starts).repeat(heads)[order]
        self._beyond = self._before = None
        if len(set(self._lengths)) > 1:
            beyond = torch.arange(min(self._lengths), max(self._lengths)) >= lengths[:, None]
            self._beyond = _bias(beyond.repeat_interleave(heads, 0), like)
        if any(self._starts):
            self._before = _bias(torch.arange(max(self._starts)) < starts[:, None], like)

    @property
    def _kv_heads(self) -> int:
        return self._layers[0].prefix_key.shape[1]

    @property
    def _device(self) -> torch.device:
        return self._layers[0].prefix_key.device

    def advance(self) -> None:
        """Make room for one more token per row; call before each forward pass."""
        self._used += 1
        if self._used > self._room:
            for layer in self._layers:
                layer.own_key = F.pad(layer.own_key, (0, 0, 0, self._room))
                layer.own_value = F.pad(layer.own_value, (0, 0, 0, self._room))
            self._room *= 2

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """See `policy.attention.Layout`; one token of each row, in a batch of one: query [1, heads, R, dim]."""
        _, heads, rows, dim = query.shape
        kept, now = self._layers[layer], self._used
        kept.own_key[:, now - 1], kept.own_value[:, now - 1] = self._ordered(key[0]), self._ordered(value[0])
        by_head = torch.unflatten(query[0], 0, (self._kv_heads, -1)).transpose(1, 2)
        query = self._ordered(by_head * scaling)
        shared = query.shape[1]
        to_prefix = torch.bmm(self._to_grid(query), kept.prefix_key.flatten(0, 1).transpose(1, 2))
        if self._beyond is not None:
            to_prefix[:, :, -self._beyond.shape[-1] :] += self._beyond
        to_own = torch.bmm(query, kept.own_key[:, :now].transpose(1, 2))
        if self._before is not None:
            to_own[:, :, : self._before.shape[-1]] += self._before
        scores = torch.cat([self._to_rows(to_prefix, shared), to_own], -1)
        weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        over_prefix, over_own = torch.split(weights, [scores.shape[-1] - now, now], -1)
        from_prefix = torch.bmm(self._to_grid(over_prefix), kept.prefix_value.flatten(0, 1))
        output = torch.baddbmm(self._to_rows(from_prefix, shared), over_own, kept.own_value[:, :now])
        return self._by_row(output).reshape(1, rows, heads, dim)

    def _ordered(self, states: Tensor) -> Tensor:
        """[kv heads, R, ...] -> [R x kv heads, ...] in the order of own states."""
        if self._order is not None:
            return states.flatten(0, 1)[self._order]
        return torch.unflatten(states, 1, (self._prompts, self._width)).transpose(0, 1).flatten(0, 2)

    def _by_row(self, states: Tensor) -> Tensor:
        """[R x kv heads, ...] in the order of own states -> [R, kv heads, ...], perhaps in more dimensions."""
        if self._order is not None:
            return states[self._places]
        return torch.unflatten(states, 0, (self._prompts, self._kv_heads, self._width)).transpose(1, 2)

    def _to_grid(self, states: Tensor) -> Tensor:
        """[R x kv heads, shared, X] -> [B x kv heads, width x shared, X]; cells without a row hold zeros."""
        _, shared, size = states.shape
        if self._order is not None:
            grid = states.new_zeros(self._prompts * self._kv_heads * self._width, shared, size)
            states = grid.index_copy_(0, self._cells, states)
        return states.view(self._prompts * self._kv_heads, self._width * shared, size)

    def _to_rows(self, grid: Tensor, shared: int) -> Tensor:
        """The way back of `_to_grid`."""
        states = grid.view(-1, shared, grid.shape[-1])
        return states if self._order is None else states[self._cells]


def _no_states(like: Tensor) -> _Layer:
    heads, _, dim = like.shape
    prefix, own = like.new_empty(0, heads, 0, dim), like.new_empty(0, 0, dim)
    return _Layer(prefix, prefix, own, own)


def _bias(hidden: Tensor, like: Tensor) -> Tensor:
    """[N, 1, slots], to be added to scores: minus infinity where `hidden` [N, slots] is true, else 0."""
    bias = torch.zeros(hidden.shape, dtype=like.dtype).masked_fill_(hidden, -torch.inf)
    return bias[:, None].to(like.device)


def _prefixes(states: Tensor, kept: Iterable[int], new: Sequence[Tensor], longest: int) -> Tensor:
    """[B', kv heads, longest, dim]: prompts `kept` of [B, kv heads, P, dim], and `new` ones [kv heads, own P, dim]."""
    chosen = torch.tensor(list(kept), dtype=torch.long, device=states.device)
    grid = states.new_zeros(len(chosen) + len(new), states.shape[1], longest, states.shape[-1])
    common = min(longest, states.shape[2])
    grid[: len(chosen), :, :common] = states[chosen, :, :common]
    for index, one in enumerate(new, len(chosen)):
        grid[index, :, : one.shape[1]] = one
    return grid


def _places(counts: Sequence[int], heads: int) -> Tensor:
    """[R, heads]: where own states lie of each row, `counts` being the rows of each prompt."""
    pieces = [torch.empty(0, heads, dtype=torch.long)]
    start = 0
    for count in counts:
        pieces.append(start * heads + torch.arange(count)[:, None] + torch.arange(heads) * count)
        start += count
    return torch.cat(pieces)


def _cells(counts: Sequence[int], heads: int) -> Tensor:
    """[R x heads]: the cell of [prompts x heads x width] of each own state, in their order."""
    width = max(counts, default=0)
    pieces = [torch.empty(0, dtype=torch.long)]
    for prompt, count in enumerate(counts):
        first = prompt * heads * width
        pieces.append((first + torch.arange(heads)[:, None] * width + torch.arange(count)).flatten())
    return torch.cat(pieces)
