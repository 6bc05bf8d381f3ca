"""One policy update without its optimizer: forward, GRPO's loss per token, backward over the groups of some prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from metis_rise.bench import trl_steps
from metis_rise.bench.cases import Arms, Case
from metis_rise.bench.peers import Objective, training_arms
from metis_rise.bench.workbench import Workbench
from metis_rise.policy.objectives import OBJECTIVES, Settings, TokenBatch, aggregate, group_advantages
from metis_rise.policy.packing import Row

GRPO = OBJECTIVES["grpo"]


def update_arms(bench: Workbench, case: Case, *, trl: bool = False) -> Arms:
    """See `training_arms`; with `trl` also TRL's own loss step, "trl", which has a model of its own."""
    rows = bench.rows(case)
    advantages = random_advantages(case)
    # As if each token had been drawn uniformly: a model must not run before the peak of memory is measured.
    old = -math.log(bench.policy.model.config.text_config.vocab_size)
    arms = dict(training_arms(bench, rows, grpo_objective(rows, advantages, old)))
    if trl:
        arms["trl"] = trl_steps.grpo_step(bench, rows, advantages, old, GRPO)
    return arms


def random_advantages(case: Case) -> Tensor:
    """[rows], from random rewards."""
    rewards = torch.rand(case.prompts, case.group_size, generator=torch.Generator().manual_seed(2))
    return group_advantages(rewards, GRPO.advantage_scale).flatten()


def grpo_objective(rows: Sequence[Row], advantages: Tensor, old: float) -> Objective:
    """GRPO's loss as a mean over tokens; `old` is the log-probability of every token when it was drawn."""
    lengths = [len(completion) for _, completion in rows]
    per_token = advantages.repeat_interleave(torch.tensor(lengths))
    before = torch.full((sum(lengths),), old)

    def objective(values: Tensor) -> Tensor:
        batch = TokenBatch(values, before, per_token, lengths)
        loss, _ = GRPO.loss(batch, Settings(GRPO.clip_low, GRPO.clip_high))
        return aggregate(loss, lengths, "token", sum(lengths))

    return objective
