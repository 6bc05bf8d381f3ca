"""Log-probabilities of completions under the policy, the input of every loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metis_rise.policy.features import as_encoder_outputs
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt

Row = tuple[Prompt, Tensor]
# Bounds the fp32 logits that exist at one time: 128 MB.
LOGIT_ELEMENTS = 1 << 25


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


def completion_logprobs(policy: Policy, rows: Sequence[Row], temperature: float = 1.0) -> LogProbs:
    """Score completions ([C] int64, at least one token each) after their prompts.

    Rows may share a prompt, have any lengths, any number of pictures or none. The distribution is
    softmax(logits / temperature) over the whole vocabulary.
    """
    if any(len(completion) == 0 for _, completion in rows):
        raise ValueError("a completion is empty")
    if any((completion == policy.model.config.image_token_id).any() for _, completion in rows):
        raise ValueError("a completion holds image placeholders")
    hidden = _completion_hidden(policy, rows)
    targets = torch.cat([completion for _, completion in rows]).to(policy.device)
    values, entropy = _score(policy.model.lm_head, hidden, targets, temperature)
    return LogProbs(values, entropy, [len(completion) for _, completion in rows])


def micro_batches(rows: Sequence[Row], token_budget: int) -> list[list[int]]:
    """Indices of `rows` in batches whose padded tokens (rows x longest row) stay within `token_budget`.

    Rows of one prompt stay together unless they alone pass the budget; a row that passes it goes alone. Prompts are
    ordered by length, so that little is padded. Every index appears once.
    """
    of_prompt: dict[int, list[int]] = {}
    for index, (prompt, _) in enumerate(rows):
        of_prompt.setdefault(id(prompt), []).append(index)
    groups = sorted(of_prompt.values(), key=lambda group: max(_length(rows[i]) for i in group))
    pieces = [piece for group in groups for piece in _split(rows, group, token_budget)]
    batches: list[list[int]] = []
    for piece in pieces:
        if batches and _padded(rows, batches[-1] + piece) <= token_budget:
            batches[-1] += piece
        else:
            batches.append(list(piece))
    return batches


def _split(rows: Sequence[Row], group: list[int], budget: int) -> list[list[int]]:
    if _padded(rows, group) <= budget:
        return [group]
    size = max(1, budget // max(_length(rows[i]) for i in group))
    ordered = sorted(group, key=lambda i: _length(rows[i]))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _padded(rows: Sequence[Row], batch: list[int]) -> int:
    return len(batch) * max(_length(rows[i]) for i in batch)


def _length(row: Row) -> int:
    return len(row[0]) + len(row[1])


def _completion_hidden(policy: Policy, rows: Sequence[Row]) -> Tensor:
    """Last hidden states [N, hidden] at the positions that predict each completion token.

    Rows are padded on the right: causal attention keeps the padding out of sight without a mask.
    """
    width = max(map(_length, rows))
    ids = torch.full((len(rows), width), policy.pad_id)
    positions = torch.zeros(3, len(rows), width, dtype=torch.long)
    predicts = torch.zeros(len(rows), width, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(rows):
        start, stop = len(prompt), len(prompt) + len(completion)
        ids[row, :start], ids[row, start:stop] = prompt.input_ids, completion
        positions[:, row, :start] = prompt.position_ids
        positions[:, row, start:stop] = prompt.next_position + torch.arange(stop - start)
        predicts[row, start - 1 : stop - 1] = True
    output = policy.core(
        input_ids=ids.to(policy.device),
        position_ids=positions.to(policy.device),
        mm_encoder_outputs=as_encoder_outputs(policy.image_features([prompt for prompt, _ in rows])),
        use_cache=False,
    )
    hidden: Tensor = output.last_hidden_state[predicts.to(policy.device)]
    return hidden


def _score(head: Any, hidden: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy [N] of `targets`, in chunks so that [N, vocabulary] never exists for large N."""
    size = max(1, LOGIT_ELEMENTS // head.out_features)
    score = partial(_score_chunk, head, temperature)
    if len(targets) <= size:
        return score(hidden, targets)
    chunks = [
        checkpoint(score, states, wanted, use_reentrant=False)
        for states, wanted in zip(torch.split(hidden, size), torch.split(targets, size), strict=True)
    ]
    values, entropy = zip(*chunks, strict=True)
    return torch.cat(values), torch.cat(entropy)


def _score_chunk(head: Any, temperature: float, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    logits = head(hidden).float() / temperature
    log_probs = logits.log_softmax(-1)
    with torch.no_grad():
        entropy = -(log_probs.exp() * log_probs).sum(-1)
    return log_probs.gather(-1, targets[:, None])[:, 0], entropy
