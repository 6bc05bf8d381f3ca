"""Log-probabilities of completions under the policy, the input of every loss.

Rows that share a prompt share its forward pass: they lie behind it in one packed row (`packing`). For text models this
is known as Prefix Grouper (arXiv 2506.05433); here the pictures are part of the prompt, their features are placed once
and the vision tower runs once for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from metis_rise.errors import InputError
from metis_rise.policy.features import Picture, SharedFeatures, distinct_pictures
from metis_rise.policy.model import Policy
from metis_rise.policy.packing import Row, check_rows
from metis_rise.policy.parallel.policy import SharedPolicy
from metis_rise.policy.parallel.together import score_together
from metis_rise.policy.planning import Split, Whole, plan
from metis_rise.policy.room import Room, Try
from metis_rise.policy.scorer import LogProbs, Scored, Scorer

__all__ = ["LogProbs", "Row", "Scored", "completion_logprobs", "row_logprobs", "score"]


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
def row_logprobs(
    policy: Policy, rows: Sequence[Row], temperature: float, token_budget: int, room: Room | None = None
) -> list[Tensor]:
    """Per row its log-probabilities [C] float32 without gradient, in passes as `score` makes them.

    `room` is what is known of what fits. InputError, naming the problem, where memory does not suffice for one row.
    """
    found: dict[int, Tensor] = {}

    def attempt(left: Sequence[int], turn: Try) -> None:
        found.clear()
        for scored in score(policy, [rows[index] for index in left], temperature, token_budget, turn):
            values = torch.split(scored.logprobs.values, scored.logprobs.lengths)
            found.update(zip((left[member] for member in scored.members), values, strict=True))

    _, lost = (room or Room()).fit(policy, rows, token_budget, attempt)
    if lost:
        raise InputError(
            f"out of memory: a prompt and one completion of {', '.join(map(repr, lost))} do not fit; start a run with "
            "a smaller model.max_pixels or sampling.max_tokens, or without the problem"
        )
    return [found[index] for index in range(len(rows))]


def score(
    policy: Policy,
    rows: Sequence[Row],
    temperature: float = 1.0,
    token_budget: int | None = None,
    turn: Try | None = None,
) -> Iterator[Scored]:
    """Score `rows` in passes that hold at most `token_budget` packed tokens each; every row comes once.

    Call backward on each pass's loss before taking the next, and take them all: what passes share (the prompt of a
    group above the budget, a picture of a trained tower that several passes need) collects the gradients of all of
    them and goes backward once, after the last.

    A policy that several processes share is scored by all of them at once, each with rows of its own or none: they
    agree on the number of forward and backward passes, and who has fewer adds passes of no effect. Gradients are then
    summed over the processes.

    `turn` may cut passes up further, and is told which one is under way.

    Raises:
        InputError: as `completion_logprobs`; and for a prompt that does not fit the budget with one of its completions.
    """
    if rows:
        check_rows(rows, policy.placeholder_ids, policy.patches_per_token)
    turn = Try() if turn is None else turn
    passes = plan(rows, token_budget, turn.limit)
    if isinstance(policy, SharedPolicy):
        yield from score_together(policy, rows, passes, temperature)
        return
    shared = SharedFeatures(policy.encode_pictures(_repeated_pictures(policy, passes)))
    scorer = Scorer(policy, rows, temperature, shared.known)
    for each in passes:
        turn.under_way = each
        if isinstance(each, Whole):
            yield scorer.whole(each.groups)
        else:
            yield from scorer.split(each)
    turn.under_way = None
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
