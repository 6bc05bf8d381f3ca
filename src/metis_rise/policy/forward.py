"""Log-probabilities of completions under the policy, the input of every loss.

Rows that share a prompt share its forward pass: they lie behind it in one packed row (`packing`). For text models this
is known as Prefix Grouper (arXiv 2506.05433); here the pictures are part of the prompt, their features are placed once
and the vision tower runs once for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metis_rise.policy.features import Picture, SharedFeatures, as_encoder_outputs, backward_from, distinct_pictures
from metis_rise.policy.head import token_logprobs
from metis_rise.policy.last_layer import is_cut
from metis_rise.policy.layout import Attend, KeepingLayout, KeptLayout, PackedLayout, Spans
from metis_rise.policy.model import Policy
from metis_rise.policy.packing import PackedRow, Row, RowGroup, check_rows, pack, pack_completions, pack_prompt
from metis_rise.policy.planning import Split, Whole, plan

__all__ = ["LogProbs", "Row", "Scored", "completion_logprobs", "row_logprobs", "score"]


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


def completion_logprobs(policy: Policy, rows: Sequence[Row], temperature: float = 1.0) -> LogProbs:
    """Score completions ([C] int64, at least one token each) after their prompts, all in one pass.

    Rows may share a prompt (the same `Prompt` object, which then is read once), have any lengths, any number of
    pictures or none. The distribution is softmax(logits / temperature) over the whole vocabulary.

    Raises:
        InputError: an empty completion, one that holds vision placeholders, or pictures that do not fit their prompt.
    """
    (scored,) = score(policy, rows, temperature)
    found = scored.logprobs
    values, entropy = (
        dict(zip(scored.members, torch.split(tensor, found.lengths), strict=True))
        for tensor in (found.values, found.entropy)
    )
    order = range(len(rows))
    return LogProbs(
        torch.cat([values[i] for i in order]),
        torch.cat([entropy[i] for i in order]),
        [len(completion) for _, completion in rows],
    )


@torch.no_grad()
def row_logprobs(policy: Policy, rows: Sequence[Row], temperature: float, token_budget: int) -> list[Tensor]:
    """Per row its log-probabilities [C] float32 without gradient, in passes as `score` makes them."""
    found: dict[int, Tensor] = {}
    for scored in score(policy, rows, temperature, token_budget):
        values = torch.split(scored.logprobs.values, scored.logprobs.lengths)
        found |= zip(scored.members, values, strict=True)
    return [found[index] for index in range(len(rows))]


def score(
    policy: Policy, rows: Sequence[Row], temperature: float = 1.0, token_budget: int | None = None
) -> Iterator[Scored]:
    """Score `rows` in passes that hold at most `token_budget` packed tokens each; every row comes once.

    Call backward on each pass's loss before taking the next, and take them all: what passes share (the prompt of a
    group above the budget, a picture of a trained tower that several passes need) collects the gradients of all of
    them and goes backward once, after the last.

    Raises:
        InputError: as `completion_logprobs`; and for a prompt that does not fit the budget with one of its completions.
    """
    if not rows:
        return
    check_rows(rows, policy.placeholder_ids, policy.patches_per_token)
    passes = plan(rows, token_budget)
    shared = SharedFeatures(policy.encode_pictures(_repeated_pictures(policy, passes)))
    scorer = _Scorer(policy, rows, temperature, shared)
    for each in passes:
        yield from scorer.whole(each) if isinstance(each, Whole) else scorer.split(each)
    shared.backward()


def _repeated_pictures(policy: Policy, passes: Sequence[Whole | Split]) -> dict[str, Picture]:
    """Pictures that a trained tower would see in several passes with gradients."""
    if policy.freeze_vision or not torch.is_grad_enabled():
        return {}
    counts: Counter[str] = Counter()
    pictures: dict[str, Picture] = {}
    for each in passes:
        groups = each.groups if isinstance(each, Whole) else (each.group,)
        found = distinct_pictures(group.prompt for group in groups)
        pictures |= found
        counts.update(found.keys())
    return {key: picture for key, picture in pictures.items() if counts[key] > 1}


class _Scorer:
    """Runs passes over `rows`."""

    def __init__(self, policy: Policy, rows: Sequence[Row], temperature: float, shared: SharedFeatures) -> None:
        self.policy, self.rows, self.temperature, self.shared = policy, rows, temperature, shared
        self._last = policy.model.config.text_config.num_hidden_layers - 1

    def whole(self, each: Whole) -> Iterator[Scored]:
        row = pack(self.rows, each.groups)
        layout = PackedLayout(*self._parts(row), self._last, row.predicts.to(self.policy.device))
        yield self._scored(row, self._hidden(row, each.groups, layout), len(row))

    def split(self, each: Split) -> Iterator[Scored]:
        """The prompt once, its keys and values as leaves to which the pieces' backward passes add their gradients."""
        prompt = each.group.prompt
        own = pack_prompt(prompt)
        end = torch.tensor([len(own) - 1], device=self.policy.device)
        layout = KeepingLayout(*self._parts(own), self._last, end)
        last = self._hidden(own, [each.group], layout)
        ends = [last, *(states for pair in layout.kept.values() for states in pair)]
        leaves = [end.detach().requires_grad_(end.requires_grad) for end in ends]
        pairs = zip(layout.kept, leaves[1::2], leaves[2::2], strict=True)
        kept = {layer: (key, value) for layer, key, value in pairs}
        forwarded = len(own)
        for piece in each.pieces:
            row = pack_completions(self.rows, piece)
            hidden = self._hidden(row, [], KeptLayout(*self._parts(row, len(prompt)), kept))
            states = torch.cat([leaves[0], hidden]).index_select(0, row.predicts.to(self.policy.device))
            yield self._scored(row, states, forwarded + len(row))
            forwarded = 0
        backward_from(ends, leaves)

    def _parts(self, row: PackedRow, kept: int = 0) -> tuple[Spans, Attend]:
        return Spans(row.blocks, kept, self.policy.device), self.policy.backend.attend

    def _hidden(self, row: PackedRow, groups: Sequence[RowGroup], layout: PackedLayout) -> Tensor:
        """Last hidden states [N, hidden] of the tokens that `layout` wants, of all where it names none."""
        policy = self.policy
        features = policy.image_features([group.prompt for group in groups], self.shared.known)
        with policy.precision():
            output = policy.core(
                input_ids=row.input_ids.to(policy.device),
                position_ids=row.position_ids.to(policy.device),
                mm_encoder_outputs=as_encoder_outputs(features),
                rise_layout=layout,
                use_cache=False,
            )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden if layout.wanted is None or is_cut(policy.core) else hidden.index_select(0, layout.wanted)

    def _scored(self, row: PackedRow, states: Tensor, forwarded: int) -> Scored:
        """`states` [N, hidden], that each completion token is predicted by."""
        device = self.policy.device
        with self.policy.precision():
            values, entropy = token_logprobs(
                states, self.policy.model.lm_head.weight, row.targets.to(device), self.temperature
            )
        return Scored(row.members, LogProbs(values, entropy, list(row.lengths)), forwarded)
