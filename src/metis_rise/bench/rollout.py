"""Sampling a group per prompt: our engine against two ways to call transformers' `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metis_rise.bench.cases import OURS, Arms, Case, Fresh
from metis_rise.bench.workbench import Workbench, repeated_pictures
from metis_rise.engines.base import Request, SamplingParams, unaborted
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.prompt import Prompt
from metis_rise.types import AnswerType, Problem


def rollout_arms(bench: Workbench, case: Case, temperature: float = 1.0) -> Arms:
    """Each arm returns its tokens [prompts x group, completion tokens], the rows of a prompt together.

    "generate" repeats prompts and pictures for every completion, as TRL's trainer does; "num_return_sequences" leaves
    the repeating to `generate`, which encodes each picture once but still reads the prompt for every completion.
    """
    generate = partial(_generate, bench, case, temperature)
    return {
        OURS: own_rollout(bench, case, temperature),
        "generate": Fresh(lambda turn: _inputs(bench.prompts(case, turn), case.group_size), generate),
        "num_return_sequences": Fresh(
            lambda turn: _inputs(bench.prompts(case, turn), 1),
            partial(generate, num_return_sequences=case.group_size),
        ),
    }


def own_rollout(bench: Workbench, case: Case, temperature: float) -> Fresh[list[Prompt]]:
    """Our arm alone: see `rollout_arms`."""
    params = SamplingParams(temperature=temperature, max_tokens=case.completion_tokens)
    problems = [Problem(str(index), bench.question, "", AnswerType.TEXT) for index in range(case.prompts)]
    requests = [Request(problem, case.group_size, params, seed) for seed, problem in enumerate(problems)]

    def run(prompts: list[Prompt]) -> Tensor:
        engine = NativeEngine(bench.policy, lambda problem: prompts[int(problem.id)])
        groups = sorted(unaborted(engine.sample(requests)), key=lambda group: int(group.problem.id))
        return torch.tensor([trajectory.tokens for group in groups for trajectory in group.trajectories])

    return Fresh(partial(bench.prompts, case), run)


def _generate(bench: Workbench, case: Case, temperature: float, inputs: dict[str, Tensor], **keywords: Any) -> Tensor:
    tokens: Tensor = bench.plain.generate(
        **inputs,
        attention_mask=torch.ones_like(inputs["input_ids"]),
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        suppress_tokens=list(bench.policy.banned_ids),
        max_new_tokens=case.completion_tokens,
        **keywords,
    )
    return tokens[:, inputs["input_ids"].shape[1] :]


def _inputs(prompts: Sequence[Prompt], times: int) -> dict[str, Tensor]:
    """Keywords of a transformers model for every prompt and its picture `times` times over: rows [prompts x times]."""
    repeated = [prompt for prompt in prompts for _ in range(times)]
    return {
        "input_ids": torch.stack([prompt.input_ids for prompt in repeated]),
        "mm_token_type_ids": torch.stack([prompt.mm_token_type_ids for prompt in repeated]),
        **repeated_pictures(repeated),
    }
