"""Three ways to score the completions of some rows, with the same loss to follow: ours and two that repeat prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metis_rise.bench.cases import OURS, Arms
from metis_rise.bench.workbench import Workbench, repeated_pictures
from metis_rise.policy.forward import completion_logprobs
from metis_rise.policy.head import token_logprobs
from metis_rise.policy.layout import PackedLayout, Spans
from metis_rise.policy.model import Policy
from metis_rise.policy.packing import Block, Row

# Log-probabilities [N] of all completion tokens, row after row.
Score = Callable[[], Tensor]
Objective = Callable[[Tensor], Tensor]


def training_arms(bench: Workbench, rows: Sequence[Row], objective: Objective) -> Arms:
    """Each arm returns its loss and leaves the gradients in its model: `plain` for "repeated", else the policy's.

    The loss is `objective` of the log-probabilities. One pass, no gradient checkpointing.
    """
    policy, plain = bench.policy, bench.plain
    return {
        OURS: _step(policy.model, lambda: completion_logprobs(policy, rows).values, objective),
        "repeated": _step(plain, repeated(plain, rows, policy.pad_id), objective),
        "padding_free": _step(policy.model, padding_free(policy, rows), objective),
    }


def backward(model: Any, loss: Callable[[], Tensor]) -> Tensor:
    """The value of `loss()`, its gradients left in `model` and nothing else."""
    model.zero_grad(set_to_none=True)
    value = loss()
    torch.autograd.backward(value)
    return value.detach()


def _step(model: Any, score: Score, objective: Objective) -> Callable[[], Tensor]:
    return lambda: backward(model, lambda: objective(score()))


def padded(rows: Sequence[Row], pad_id: int) -> tuple[dict[str, Tensor], Tensor]:
    """Keywords of a transformers model for a batch padded on the right, every row with its picture.

    Beside them the places of completion tokens, [rows, longest] bool.
    """
    lengths = torch.tensor([len(prompt) + len(completion) for prompt, completion in rows])[:, None]
    starts = torch.tensor([len(prompt) for prompt, _ in rows])[:, None]
    whole = [torch.cat([prompt.input_ids, completion]) for prompt, completion in rows]
    ids = pad_sequence(whole, batch_first=True, padding_value=pad_id)
    places = torch.arange(ids.shape[1]).expand(len(rows), -1)
    inputs = {
        "input_ids": ids,
        "attention_mask": (places < lengths).long(),
        "mm_token_type_ids": pad_sequence(
            [torch.cat([prompt.mm_token_type_ids, torch.zeros_like(completion)]) for prompt, completion in rows],
            batch_first=True,
        ),
        **repeated_pictures([prompt for prompt, _ in rows]),
    }
    return inputs, (places >= starts) & (places < lengths)


def repeated(model: Any, rows: Sequence[Row], pad_id: int) -> Score:
    """One padded row per completion through transformers' own model; our head, at completions only."""
    inputs, completed = padded(rows, pad_id)
    targets = inputs["input_ids"][completed]

    def score() -> Tensor:
        hidden = model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        return token_logprobs(hidden[completed[:, 1:]], model.lm_head.weight, targets, 1.0)[0]

    return score


def padding_free(policy: Policy, rows: Sequence[Row]) -> Score:
    """All rows one after another without padding, each with its own prompt and picture; our attention and head."""
    lengths = [len(prompt) + len(completion) for prompt, completion in rows]
    starts = list(accumulate(lengths, initial=0))
    # To the attention every row is a prompt without completions.
    blocks = tuple(Block(start, length, ()) for start, length in zip(starts, lengths, strict=False))
    layout = PackedLayout(Spans(blocks, 0, policy.device), policy.backend.attend)
    positions = [
        torch.cat([prompt.position_ids, (prompt.next_position + torch.arange(len(completion))).expand(3, -1)], 1)
        for prompt, completion in rows
    ]
    inputs = {
        "input_ids": torch.cat([part for prompt, completion in rows for part in (prompt.input_ids, completion)])[None],
        "position_ids": torch.cat(positions, 1)[:, None],
        **repeated_pictures([prompt for prompt, _ in rows]),
    }
    predicts = torch.cat(
        [
            torch.arange(start + len(prompt) - 1, start + len(prompt) + len(completion) - 1)
            for start, (prompt, completion) in zip(starts, rows, strict=False)
        ]
    )
    targets = torch.cat([completion for _, completion in rows])

    def score() -> Tensor:
        hidden = policy.core(**inputs, rise_layout=layout, use_cache=False).last_hidden_state[0]
        return token_logprobs(hidden[predicts], policy.model.lm_head.weight, targets, 1.0)[0]

    return score
