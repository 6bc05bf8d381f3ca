"""Prompts whose answer has begun: the model goes on with the reasoning that its first tokens open."""

from __future__ import annotations

import torch

from metis_rise.policy.prompt import Prompt
from metis_rise.problems.world.chain import OPENING

FORCED = f"<think> {OPENING}"


def continued(prompt: Prompt, ids: list[int]) -> Prompt:
    """The prompt with the first tokens of the answer already written."""
    more = torch.tensor(ids)
    positions = prompt.next_position + torch.arange(len(ids)).expand(3, -1)
    return Prompt(
        torch.cat([prompt.input_ids, more]),
        torch.cat([prompt.position_ids, positions], 1),
        torch.cat([prompt.mm_token_type_ids, torch.zeros_like(more)]),
        prompt.pixel_values,
        prompt.image_grid_thw,
        prompt.key,
    )
