"""Single passes over packed rows: what each puts through the model, and what it says of the completions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metis_rise.policy.features import as_encoder_outputs, backward_from
from metis_rise.policy.head import token_logprobs
from metis_rise.policy.last_layer import is_cut
from metis_rise.policy.layout import Attend, KeepingLayout, KeptLayout, PackedLayout, Spans
from metis_rise.policy.model import Policy
from metis_rise.policy.packing import PackedRow, Row, RowGroup, pack, pack_completions, pack_prompt
from metis_rise.policy.planning import Split


@dataclass(frozen=True, slots=True)
class LogProbs:
    """What the policy says of the N completion tokens of some rows, row after row.

    values: [N] float32, log-probability of each token, with gradient.
    entropy: [N] float32, of the distribution that each token is scored under, without gradient.
    lengths: tokens per row.
    """

    values: Tensor
    entropy: Tensor
    lengths: list[int]


@dataclass(frozen=True, slots=True)
class Scored:
    """One pass: `logprobs` of the rows whose indices are `members`, in that order.

    forwarded: tokens that went through the language model for it.
    """

    members: tuple[int, ...]
    logprobs: LogProbs
    forwarded: int


class KeptPrompt:
    """A prompt that was read once, for completions that follow in pieces, each with its own backward pass.

    Attributes:
        group: the prompt and all its completions.
        leaves: detached copies of what follows, which collect the gradients of all pieces.
        last: [1, hidden], the prompt's last hidden state.
        states: per layer its keys and values [1, kv heads, P, dim].
    """

    def __init__(self, group: RowGroup, layers: Sequence[int], ends: Sequence[Tensor]) -> None:
        """`ends`: the last hidden state, then keys and values of each of `layers`, as the model made them."""
        self.group = group
        self._ends = ends
        self.leaves = [end.detach().requires_grad_(end.requires_grad) for end in ends]
        self.last = self.leaves[0]
        pairs = zip(layers, self.leaves[1::2], self.leaves[2::2], strict=True)
        self.states = {layer: (key, value) for layer, key, value in pairs}

    def backward(self) -> None:
        """Send what the pieces' backward passes have left through the prompt's own forward pass."""
        backward_from(self._ends, self.leaves)


class Scorer:
    """Runs passes over `rows`."""

    def __init__(self, policy: Policy, rows: Sequence[Row], temperature: float, features: Mapping[str, Tensor]) -> None:
        """`features`: of pictures by digest, those that are known already."""
        self.policy, self.rows, self.temperature, self.features = policy, rows, temperature, features
        self._last = policy.model.config.text_config.num_hidden_layers - 1

    def whole(self, groups: Sequence[RowGroup]) -> Scored:
        """All of `groups` in one row."""
        row = pack(self.rows, groups)
        layout = PackedLayout(*self._parts(row), self._last, row.predicts.to(self.policy.device))
        return self._scored(row, len(row), self.run(groups, lambda: self._say(row, self._hidden(row, groups, layout))))

    def split(self, each: Split) -> Iterator[Scored]:
        """A group above the budget: its prompt once, its completions in pieces, the prompt backward after the last."""
        kept = self.prompt(each.group)
        forwarded = len(each.group.prompt)
        for piece in each.pieces:
            yield self.piece(kept, piece, forwarded)
            forwarded = 0
        kept.backward()

    def prompt(self, group: RowGroup) -> KeptPrompt:
        """The prompt of `group` alone."""
        row = pack_prompt(group.prompt)
        end = torch.tensor([len(row) - 1], device=self.policy.device)
        layout = KeepingLayout(*self._parts(row), self._last, end)

        (last,) = self.run([group], lambda: (self._hidden(row, [group], layout),))
        states = [each for pair in layout.kept.values() for each in pair]
        return KeptPrompt(group, list(layout.kept), [last, *states])

    def piece(self, kept: KeptPrompt, piece: RowGroup, before: int = 0) -> Scored:
        """Some completions of a kept prompt; `before` are tokens that went through the model for it earlier."""
        row = pack_completions(self.rows, piece)
        layout = KeptLayout(*self._parts(row, len(piece.prompt)), kept.states)

        def say() -> tuple[Tensor, Tensor]:
            states = torch.cat([kept.last, self._hidden(row, [], layout)])
            return self._say(row, states.index_select(0, row.predicts.to(self.policy.device)))

        return self._scored(row, before + len(row), self.run([], say))

    def run(self, groups: Sequence[RowGroup], call: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What `call` computes, a forward pass that reads the prompts of `groups`."""
        return call()

    def _parts(self, row: PackedRow, kept: int = 0) -> tuple[Spans, Attend]:
        return Spans(row.blocks, kept, self.policy.device), self.policy.backend.attend

    def _hidden(self, row: PackedRow, groups: Sequence[RowGroup], layout: PackedLayout) -> Tensor:
        """Last hidden states [N, hidden] of the tokens that `layout` wants, of all where it names none."""
        policy = self.policy
        features = policy.image_features([group.prompt for group in groups], self.features)
        with policy.precision():
            output: Any = policy.core(
                input_ids=row.input_ids.to(policy.device),
                position_ids=row.position_ids.to(policy.device),
                mm_encoder_outputs=as_encoder_outputs(features),
                rise_layout=layout,
                use_cache=False,
            )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden if layout.wanted is None or is_cut(policy.core) else hidden.index_select(0, layout.wanted)

    def _say(self, row: PackedRow, states: Tensor) -> tuple[Tensor, Tensor]:
        """Values and entropies, given the `states` [N, hidden] that each completion token is predicted by."""
        policy = self.policy
        with policy.precision():
            return token_logprobs(states, policy.model.lm_head.weight, row.targets.to(policy.device), self.temperature)

    def _scored(self, row: PackedRow, forwarded: int, said: tuple[Tensor, ...]) -> Scored:
        values, entropy = said
        return Scored(row.members, LogProbs(values, entropy, list(row.lengths)), forwarded)
