"""The arms: three ways to score the same completions and go backward, all through one module.

- packed: ours, `metis_rise.policy.forward.score`.
- packed_kept: the same without recomputing layers in the backward pass.
- padding_free: every completion with a copy of its prompt and picture, one after another without padding.
- padded: the same as rows padded on the right. They go without a mask: under causal attention no token sees the padding
  behind it, and the flash kernel, which takes no mask, can serve them.

The peers too get our attention (padding_free), our head at completion tokens alone, and micro-batches of as many rows
as fit the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gpu.cases import Case
from metis_rise.policy.features import as_encoder_outputs, encode_pictures
from metis_rise.policy.forward import score
from metis_rise.policy.head import token_logprobs
from metis_rise.policy.layout import PackedLayout, Spans
from metis_rise.policy.model import Policy
from metis_rise.policy.objectives import OBJECTIVES, Settings, TokenBatch, aggregate, group_advantages
from metis_rise.policy.packing import Block, Row

PACKED, KEPT, PADDING_FREE, PADDED = "packed", "packed_kept", "padding_free", "padded"
# Loss of the log-probabilities [n] of the rows whose indices are given, in that order; micro-batches add up.
Loss = Callable[[Tensor, Sequence[int]], Tensor]


@dataclass(frozen=True, slots=True)
class Job:
    """What all arms do: score `rows`, go backward from `loss`, in passes of at most `budget` tokens."""

    policy: Policy
    rows: Sequence[Row]
    loss: Loss
    budget: int
    passes: dict[str, int] = field(default_factory=dict)

    def run(self, arm: str) -> list[Tensor]:
        """One forward and backward pass over all rows: log-probabilities [C] of each, gradients left in the model."""
        found: dict[int, Tensor] = {}
        count = 0
        with nullcontext() if arm == KEPT else self.policy.updating():
            for values, members in self._passes(arm):
                torch.autograd.backward(self.loss(values, members))
                lengths = [len(self.rows[i][1]) for i in members]
                found |= zip(members, torch.split(values.detach(), lengths), strict=True)
                count += 1
        self.passes[arm] = count
        return [found[i] for i in range(len(self.rows))]

    def _passes(self, arm: str) -> Iterator[tuple[Tensor, Sequence[int]]]:
        if arm in (PACKED, KEPT):
            for scored in score(self.policy, self.rows, 1.0, self.budget):
                yield scored.logprobs.values, scored.members
            return
        peer = {PADDING_FREE: _padding_free, PADDED: _padded}[arm]
        for members in micro_batches(self.rows, self.budget, padded=arm == PADDED):
            yield peer(self.policy, [self.rows[i] for i in members]), members


def micro_batches(rows: Sequence[Row], budget: int, *, padded: bool) -> list[list[int]]:
    """Indices of rows, in order, as many together as have at most `budget` tokens, padding included; at least one."""
    batches: list[list[int]] = [[]]
    for index in range(len(rows)):
        lengths = [len(rows[i][0]) + len(rows[i][1]) for i in (*batches[-1], index)]
        tokens = max(lengths) * len(lengths) if padded else sum(lengths)
        if batches[-1] and tokens > budget:
            batches.append([])
        batches[-1].append(index)
    return batches


def grpo_loss(case: Case, vocabulary: int, device: torch.device) -> Loss:
    """GRPO's loss of random rewards, as if each token had been drawn uniformly."""
    grpo = OBJECTIVES["grpo"]
    rewards = torch.rand(1, case.group_size, generator=torch.Generator().manual_seed(2))
    advantages = group_advantages(rewards, grpo.advantage_scale).flatten()
    lengths = case.lengths()

    def loss(values: Tensor, members: Sequence[int]) -> Tensor:
        own = [lengths[i] for i in members]
        per_token = advantages[list(members)].repeat_interleave(torch.tensor(own)).to(device)
        old = torch.full_like(values, -math.log(vocabulary))
        batch = TokenBatch(values, old, per_token, own)
        found, _ = grpo.loss(batch, Settings(grpo.clip_low, grpo.clip_high))
        return aggregate(found, own, "token", sum(lengths))

    return loss


def _features(policy: Policy, rows: Sequence[Row]) -> Sequence[Tensor | None]:
    """Of every row's picture: from the cache where the tower is frozen, else encoded once per row."""
    if policy.freeze_vision:
        return policy.image_features([prompt for prompt, _ in rows])
    pictures = [(patches, grid) for prompt, _ in rows for _, patches, grid in prompt.pictures()]
    return encode_pictures(policy.core, pictures, policy.device)


def _whole(rows: Sequence[Row]) -> tuple[list[Tensor], list[Tensor]]:
    """Ids [T] and positions [3, T] of each prompt with its completion."""
    ids = [torch.cat([prompt.input_ids, completion]) for prompt, completion in rows]
    positions = [
        torch.cat([prompt.position_ids, (prompt.next_position + torch.arange(len(completion))).expand(3, -1)], 1)
        for prompt, completion in rows
    ]
    return ids, positions


def _padded(policy: Policy, rows: Sequence[Row]) -> Tensor:
    ids, positions = _whole(rows)
    inputs = pad_sequence(ids, batch_first=True, padding_value=policy.pad_id)
    places = pad_sequence([position.t() for position in positions], batch_first=True).permute(2, 0, 1)
    longest = inputs.shape[1]
    return _score(policy, rows, inputs, places, [row * longest for row in range(len(rows))], None)


def _padding_free(policy: Policy, rows: Sequence[Row]) -> Tensor:
    ids, positions = _whole(rows)
    starts = list(accumulate(map(len, ids), initial=0))[:-1]
    # To the attention every row is a prompt without completions.
    blocks = tuple(Block(start, len(own), ()) for start, own in zip(starts, ids, strict=True))
    layout = PackedLayout(Spans(blocks, 0, policy.device), policy.backend.attend)
    return _score(policy, rows, torch.cat(ids)[None], torch.cat(positions, 1)[:, None], starts, layout)


def _score(
    policy: Policy, rows: Sequence[Row], ids: Tensor, places: Tensor, starts: Sequence[int], layout: PackedLayout | None
) -> Tensor:
    """Log-probabilities [N] of all completion tokens; `starts` are the rows' places among all tokens of `ids`."""
    device = policy.device
    hidden = policy.core(
        input_ids=ids.to(device),
        position_ids=places.to(device),
        mm_encoder_outputs=as_encoder_outputs(_features(policy, rows)),
        rise_layout=layout,
        use_cache=False,
    ).last_hidden_state.flatten(0, 1)
    predicts = [
        start + len(prompt) - 1 + torch.arange(len(completion))
        for start, (prompt, completion) in zip(starts, rows, strict=True)
    ]
    targets = torch.cat([completion for _, completion in rows]).to(device)
    states = hidden.index_select(0, torch.cat(predicts).to(device))
    return token_logprobs(states, policy.model.lm_head.weight, targets, 1.0)[0]
