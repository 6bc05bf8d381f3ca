"""A small policy whose random completions end at different times, with ragged prompts; `generate` as the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tiny
import torch

from metis_rise.engines.base import Request
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.types import AnswerType, Group, Problem

QUESTIONS = ("How many?", "What does the clock say 25 minutes later, step by step?", "Compare the pictures.", "3 + 14?")


def make_policy(folder: Path, family: str) -> Policy:
    """A random model all but never ends; this makes some rows end early, some late, some not at all."""
    policy = Policy.load(tiny.write_folder(folder, family))
    with torch.no_grad():
        policy.model.lm_head.weight[policy.eos_ids[0]] *= 2.0
    return policy


def make_prompts(policy: Policy) -> dict[str, Prompt]:
    """Ragged: one picture, one picture, two pictures of different sizes, none."""
    pictures = [[tiny.picture(1)], [tiny.picture(2)], [tiny.picture(3), tiny.picture(4, 57, 120)], []]
    return {
        f"p{i}": policy.encode(tiny.message(text, len(images)), images)
        for i, (text, images) in enumerate(zip(QUESTIONS, pictures, strict=True))
    }


def problem(name: str) -> Problem:
    return Problem(name, "question", "1", AnswerType.NUMBER)


def sample(
    policy: Policy, prompts: dict[str, Prompt], requests: Sequence[Request], budget: int = 32768
) -> dict[str, Group]:
    """Groups by problem; no two requests may be for one problem."""
    engine = NativeEngine(policy, lambda p: prompts[p.id], budget)
    groups = list(engine.sample(requests))
    assert len(groups) == len(requests)
    return {group.problem.id: group for group in groups}


def greedy_reference(policy: Policy, prompt: Prompt, max_tokens: int) -> list[int]:
    """What transformers' `generate` says after one prompt."""
    pictures = {"pixel_values": prompt.pixel_values, "image_grid_thw": prompt.image_grid_thw} if prompt.key else {}
    policy.core.rope_deltas = None
    ids = policy.model.generate(
        input_ids=prompt.input_ids[None],
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        mm_token_type_ids=prompt.mm_token_type_ids[None],
        **pictures,
        do_sample=False,
        max_new_tokens=max_tokens,
        suppress_tokens=list(policy.banned_ids),
    )
    return ids[0, len(prompt) :].tolist()


@contextmanager
def forwarded(policy: Policy) -> Iterator[list[int]]:
    """Tokens of each forward pass through the language model, from now on until the end of the block."""
    counts: list[int] = []
    hook = policy.core.language_model.layers[0].mlp.register_forward_pre_hook(
        lambda module, args: counts.append(args[0][..., 0].numel())
    )
    yield counts
    hook.remove()
