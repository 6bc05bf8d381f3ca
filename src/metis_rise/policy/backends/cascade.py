"""Shared-prefix attention on the CPU: no copy of a prompt's keys, no mask over completions that are not seen.

A completion's attention to its prompt and to itself are two calls whose results are merged by their log-sum-exp. All
completion tokens of a prompt look at it in one call without a mask. In the backward pass each call gets the merged
output and the merged log-sum-exp, with which its kernel computes exactly its share of the gradient (the identity that
ring attention rests on, arXiv 2310.01889); autograd through the merge would be wrong, since the kernel does not
differentiate its log-sum-exp.

Calls read their tensors where they lie, and query heads that share a key head see it through a stride of zero. Only
completions of differing lengths are gathered for their look at themselves, padded by a fifth at most (`layout`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from metis_rise.policy.layout import Bunch, Spans

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
# The backward kernel spends much of a causal call on what the mask hides; in tiles along the diagonal it does not.
TILE = 128


def attend(query: Tensor, key: Tensor, value: Tensor, spans: Spans, scaling: float) -> Tensor:
    """See `layout.Attend`."""
    output: Tensor = _Cascade.apply(query, key, value, spans, scaling)  # type: ignore[no-untyped-call]
    return output


class _Cascade(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, spans: Spans, scaling: float) -> Tensor:
        heads, tokens, dim = query.shape[1:]
        output, normalizers = torch.empty(tokens, heads, dim), torch.empty(tokens, heads)
        work = _Work.of(query, key, value, output, normalizers, spans.kept, scaling)
        for bunch in spans.bunches:
            work.look_at_themselves(bunch)
        for block in spans.blocks:
            if spans.ends_only and not spans.kept:
                work.read_end(block.start, block.prefix)
            elif not spans.kept:
                work.read_prompt(block.start, block.prefix)
            if block.lengths:
                work.look_at_prompt(block.first - spans.kept, block.completed, block.start, block.prefix)
        output = output.to(query.dtype)
        ctx.save_for_backward(query, key, value, output, normalizers)
        ctx.spans, ctx.scaling = spans, scaling
        return output[None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, output, normalizers = ctx.saved_tensors
        spans: Spans = ctx.spans
        slopes = _Slopes.of(_Work.of(query, key, value, output, normalizers, spans.kept, ctx.scaling), grad)
        for bunch in spans.bunches:
            slopes.of_themselves(bunch)
        for block in spans.blocks:
            if spans.kept:
                slopes.clear_prompt(block.start, block.prefix)
            elif spans.ends_only:
                slopes.of_end(block.start, block.prefix)
            else:
                slopes.of_prompt(block.start, block.prefix)
            if block.lengths:
                slopes.of_completions(block.first - spans.kept, block.completed, block.start, block.prefix)
        return *slopes.result(query, key, value), None, None


@dataclass(frozen=True, slots=True)
class _Work:
    """The tensors of one layer, tokens first: query and output [Tq, kv heads, shared, dim], key and value
    [Tk, kv heads, dim], normalizers (log-sum-exp of the scores) [Tq, kv heads, shared]. `kept`: see `Spans`. The
    output is summed up in float32.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    normalizers: Tensor
    kept: int
    scaling: float

    @classmethod
    def of(
        cls, query: Tensor, key: Tensor, value: Tensor, output: Tensor, normalizers: Tensor, kept: int, scaling: float
    ) -> _Work:
        heads = (key.shape[1], query.shape[1] // key.shape[1])
        return cls(
            torch.unflatten(_dense(query[0]).transpose(0, 1), 1, heads),
            _dense(key[0]).transpose(0, 1),
            _dense(value[0]).transpose(0, 1),
            torch.unflatten(output, 1, heads),
            torch.unflatten(normalizers, 1, heads),
            kept,
            scaling,
        )

    def read_prompt(self, start: int, count: int) -> None:
        """A prompt's attention to itself."""
        output, normalizers = _forward(*self.shared(start, count, start, count), 0.0, True, scale=self.scaling)
        self.output[start : start + count] = output.permute(2, 0, 1, 3)
        self.normalizers[start : start + count] = normalizers.permute(2, 0, 1)

    def read_end(self, start: int, prefix: int) -> None:
        """The same for a prompt's last token alone; the others get zeros."""
        end = start + prefix - 1
        output, normalizers = _forward(*self.shared(end, 1, start, prefix), 0.0, False, scale=self.scaling)
        self.output[start:end] = 0
        self.output[end] = output[:, :, 0]
        self.normalizers[start : end + 1] = normalizers[:, :, 0]

    def look_at_themselves(self, bunch: Bunch) -> None:
        """Completions' attention to themselves."""
        key, value = self.own_keys(bunch)
        query = take(self.query, bunch)
        for share in range(query.shape[3]):
            states = query[:, :, :, share].transpose(1, 2)
            output, normalizers = _forward(states, key, value, 0.0, True, scale=self.scaling)
            put(self.output[:, :, share], bunch, output.transpose(1, 2))
            put(self.normalizers[:, :, share], bunch, normalizers.transpose(1, 2))

    def look_at_prompt(self, at: int, count: int, start: int, prefix: int) -> None:
        """Completions' attention to their prompt, merged into what they took from themselves."""
        output, normalizers = _forward(*self.shared(at, count, start, prefix), 0.0, False, scale=self.scaling)
        output, normalizers = output.permute(2, 0, 1, 3), normalizers.permute(2, 0, 1)
        own, own_normalizers = self.output[at : at + count], self.normalizers[at : at + count]
        weight = torch.sigmoid(normalizers - own_normalizers)[..., None]
        own.lerp_(output.float(), weight)
        torch.logaddexp(normalizers, own_normalizers, out=own_normalizers)

    def shared(self, at: int, count: int, start: int, prefix: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [kv heads, shared, count, dim] and the keys and values that all of them see, alike."""
        shares = self.query.shape[2]
        key, value = (
            states[start : start + prefix].transpose(0, 1)[:, None].expand(-1, shares, -1, -1)
            for states in (self.key, self.value)
        )
        return _by_head(self.query, at, count), key, value

    def own_keys(self, bunch: Bunch) -> tuple[Tensor, Tensor]:
        """Keys and values [count, kv heads, length, dim] of completions."""
        key, value = (take(states[self.kept :], bunch).transpose(1, 2) for states in (self.key, self.value))
        return key, value


@dataclass(frozen=True, slots=True)
class _Slopes:
    """Gradients of `_Work`'s tensors: `grad` of its output is given, the others are summed up in float32.

    Their buffers start with whatever lies in memory. Completions write first, then each prompt, then the completions'
    attention to it is added.
    """

    work: _Work
    grad: Tensor
    query: Tensor
    key: Tensor
    value: Tensor

    @classmethod
    def of(cls, work: _Work, grad: Tensor) -> _Slopes:
        query, key = (_by_head_first(states) for states in (work.query, work.key))
        value = torch.empty(work.value.shape, dtype=torch.float32)
        return cls(work, torch.unflatten(_dense(grad[0]), 1, work.query.shape[1:3]), query, key, value)

    def of_themselves(self, bunch: Bunch) -> None:
        work = self.work
        key, value = work.own_keys(bunch)
        parts = [take(states, bunch) for states in (self.grad, work.query, work.output, work.normalizers)]
        if bunch.real is not None:
            # What stands in the padding has no share in the loss.
            parts[0] = parts[0] * bunch.real[..., None, None, None]
        key_slope, value_slope = torch.zeros(key.shape), torch.zeros(value.shape)
        for share in range(work.query.shape[2]):
            grad, query, output, normalizers = (states[:, :, :, share].transpose(1, 2) for states in parts)
            slopes = _causal_backward(grad, query, key, value, output, normalizers.contiguous(), work.scaling)
            put(self.query[:, :, share], bunch, slopes[0].transpose(1, 2))
            key_slope += slopes[1]
            value_slope += slopes[2]
        put(self.key[work.kept :], bunch, key_slope.transpose(1, 2))
        put(self.value[work.kept :], bunch, value_slope.transpose(1, 2))

    def clear_prompt(self, start: int, prefix: int) -> None:
        """For a prompt whose keys were computed before: nothing of its own."""
        self.key[start : start + prefix].zero_()
        self.value[start : start + prefix].zero_()

    def of_prompt(self, start: int, prefix: int) -> None:
        query, key, value = self._shared(start, prefix, start, prefix, causal=True)
        self.query[start : start + prefix], self.key[start : start + prefix] = query, key
        self.value[start : start + prefix] = value

    def of_end(self, start: int, prefix: int) -> None:
        end = start + prefix - 1
        query, key, value = self._shared(end, 1, start, prefix, causal=False)
        self.query[start:end] = 0
        self.query[end : end + 1] = query
        self.key[start : start + prefix], self.value[start : start + prefix] = key, value

    def of_completions(self, at: int, count: int, start: int, prefix: int) -> None:
        query, key, value = self._shared(at, count, start, prefix, causal=False)
        self.query[at : at + count] += query
        self.key[start : start + prefix] += key
        self.value[start : start + prefix] += value

    def _shared(self, at: int, count: int, start: int, prefix: int, *, causal: bool) -> tuple[Tensor, Tensor, Tensor]:
        work = self.work
        query, key, value = work.shared(at, count, start, prefix)
        grad, output = (_by_head(states, at, count) for states in (self.grad, work.output))
        normalizers = work.normalizers[at : at + count].permute(1, 2, 0).contiguous()
        if causal:
            slopes = _causal_backward(grad, query, key, value, output, normalizers, work.scaling)
        else:
            slopes = _backward(grad, query, key, value, output, normalizers, 0.0, False, scale=work.scaling)
        return slopes[0].permute(2, 0, 1, 3), slopes[1].sum(1).transpose(0, 1), slopes[2].sum(1).transpose(0, 1)

    def result(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """In the shapes and types of the inputs."""
        pairs = ((self.query.flatten(1, 2), query), (self.key, key), (self.value, value))
        found = [slope.transpose(0, 1)[None].to(like.dtype) for slope, like in pairs]
        return found[0], found[1], found[2]


def _causal_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, normalizers: Tensor, scaling: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value [batch, heads, tokens, dim] of causal attention, tile by tile.

    A tile of queries looks at itself, causally, and at all that is before it, which needs no mask.
    """
    count = query.shape[2]
    if count <= TILE:
        slopes = _backward(grad, query, key, value, output, normalizers, 0.0, True, scale=scaling)
        return slopes[0], slopes[1], slopes[2]
    query_slope, key_slope, value_slope = (torch.zeros(s.shape, dtype=torch.float32) for s in (query, key, value))
    for start in range(0, count, TILE):
        tile, before = slice(start, min(start + TILE, count)), slice(0, start)
        given = (grad[:, :, tile], query[:, :, tile])
        merged = (output[:, :, tile], normalizers[:, :, tile].contiguous())
        for keys, causal in ((tile, True), (before, False)):
            if keys.stop == 0:
                continue
            slopes = _backward(*given, key[:, :, keys], value[:, :, keys], *merged, 0.0, causal, scale=scaling)
            query_slope[:, :, tile] += slopes[0]
            key_slope[:, :, keys] += slopes[1]
            value_slope[:, :, keys] += slopes[2]
    return query_slope, key_slope, value_slope


def _by_head_first(like: Tensor) -> Tensor:
    """An empty tensor of the shape of `like`, tokens first, whose memory holds one head after another.

    The rotary embedding, through which gradients of queries and keys go next, adds tensors of this order.
    """
    count, *heads, dim = like.shape
    return torch.empty(*heads, count, dim, dtype=torch.float32).movedim(-2, 0)


def _dense(states: Tensor) -> Tensor:
    """The kernel reads the last dimension without looking at its stride."""
    return states if states.stride(-1) == 1 else states.contiguous()


def _by_head(states: Tensor, at: int, count: int) -> Tensor:
    """[tokens, kv heads, shared, dim] -> [kv heads, shared, count, dim]."""
    return states[at : at + count].permute(1, 2, 0, 3)


def take(states: Tensor, bunch: Bunch) -> Tensor:
    """[tokens, ...] -> [count, length, ...], a view where the bunch lies side by side."""
    if bunch.places is not None:
        return states[bunch.places]
    side_by_side = states[bunch.start : bunch.start + bunch.count * bunch.length]
    return torch.unflatten(side_by_side, 0, (bunch.count, bunch.length))


def put(states: Tensor, bunch: Bunch, values: Tensor) -> None:
    """Write [count, length, ...] to where `take` reads them, the padding left out."""
    if bunch.places is None or bunch.real is None:
        take(states, bunch).copy_(values)
    else:
        states[bunch.places[bunch.real]] = values[bunch.real].to(states.dtype)
