"""Who sees whom in a packed row: a prompt itself, causally; a completion its prompt and itself, never its siblings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from metis_rise.policy.packing import Block

# Completions are padded to a common length for one attention call when at most this share of it is padding.
PADDING = 0.2


@dataclass(frozen=True, slots=True)
class Bunch:
    """Completions of nearly one length: `count` of them, read as [count, length].

    start: position of the first one when they are equally long and lie side by side; they then need no copy.
    places: else [count, length] int64, positions; a shorter completion repeats its last one.
    real: with `places`, [count, length] bool, False where it repeats.
    """

    count: int
    length: int
    start: int = 0
    places: Tensor | None = None
    real: Tensor | None = None


@dataclass(frozen=True)
class Spans:
    """The blocks of a packed row as attention backends read them.

    blocks: in the coordinates of the keys.
    kept: tokens before the first query. 0, or the prompt's length when its keys were computed before (a split group,
        one block): keys then are [prompt, completions], queries the completions alone.
    device: of the index tensors.
    ends_only: of a prompt's own outputs only the last is of use; a backend may leave out the others.
    """

    blocks: tuple[Block, ...]
    kept: int
    device: torch.device
    ends_only: bool = False

    @cached_property
    def bunches(self) -> tuple[Bunch, ...]:
        """All completions, cut into bunches; positions in the coordinates of the queries."""
        spans = [
            (start - self.kept, length)
            for block in self.blocks
            for start, length in zip(block.starts(), block.lengths, strict=True)
        ]
        spans.sort(key=lambda span: (span[1], span[0]))
        bunches: list[list[tuple[int, int]]] = []
        for span in spans:
            if bunches and _waste([*bunches[-1], span]) <= PADDING:
                bunches[-1].append(span)
            else:
                bunches.append([span])
        return tuple(_bunch(bunch, self.device) for bunch in bunches)


def _waste(spans: Sequence[tuple[int, int]]) -> float:
    longest = spans[-1][1]
    return 1 - sum(length for _, length in spans) / (longest * len(spans))


def _bunch(spans: Sequence[tuple[int, int]], device: torch.device) -> Bunch:
    first, longest = spans[0][0], spans[-1][1]
    side_by_side = all(span == (first + i * longest, longest) for i, span in enumerate(spans))
    if side_by_side:
        return Bunch(len(spans), longest, first)
    starts = torch.tensor([start for start, _ in spans])[:, None]
    lengths = torch.tensor([length for _, length in spans])[:, None]
    steps = torch.arange(longest).expand(len(spans), -1)
    places = starts + torch.minimum(steps, lengths - 1)
    return Bunch(len(spans), longest, places=places.to(device), real=(steps < lengths).to(device))


# query [1, heads, Tq, dim], key and value [1, kv heads, Tk, dim] -> [1, Tq, heads, dim].
Attend = Callable[[Tensor, Tensor, Tensor, Spans, float], Tensor]


class PackedLayout:
    """The layout of one packed row, for `attention`."""

    def __init__(self, spans: Spans, attend: Attend, last: int | None = None, wanted: Tensor | None = None) -> None:
        """`attend` is the backend's function.

        `last` is the last layer's number where after it nothing looks at a prompt but what predicts the first token of
        its completions: its end. Keys and values of all its tokens are needed there still.
        `wanted` [N] int64 are the tokens whose hidden states are of use after it; None for all (`last_layer`).
        """
        self.wanted = wanted
        self._spans, self._attend, self._last = spans, attend, last
        self._last_spans = replace(spans, ends_only=True)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """See `attention.Layout`."""
        return self._attend(query, key, value, self._last_spans if layer == self._last else self._spans, scaling)


class KeepingLayout(PackedLayout):
    """A row of one prompt alone that hands out the keys and values of each layer, gradients and all."""

    def __init__(self, spans: Spans, attend: Attend, last: int | None = None, wanted: Tensor | None = None) -> None:
        super().__init__(spans, attend, last, wanted)
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """See `attention.Layout`."""
        # Gradient checkpointing runs the layer again in the backward pass; what that run makes must not be held on to.
        self.kept.setdefault(layer, (key, value))
        return super().attend(layer, query, key, value, scaling)


class KeptLayout(PackedLayout):
    """A row of completions of one prompt whose keys and values were computed before."""

    def __init__(self, spans: Spans, attend: Attend, kept: dict[int, tuple[Tensor, Tensor]]) -> None:
        """`kept`: per layer the prompt's keys and values [1, kv heads, P, dim]."""
        super().__init__(spans, attend)
        self._kept = kept

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """See `attention.Layout`."""
        before_key, before_value = self._kept[layer]
        return super().attend(
            layer, query, torch.cat([before_key, key], 2), torch.cat([before_value, value], 2), scaling
        )
