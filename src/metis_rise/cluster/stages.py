"""Seconds of each stage of a recipe, from its plan."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from metis_rise.cluster.plan import Plan
from metis_rise.cluster.simulator import Outcome, sample_seconds
from metis_rise.cluster.workload import ABSENT, INCONSISTENT
from metis_rise.recipe.sft import SFTStage

_ARMS = 3


def stage_seconds(plan: Plan, outcome: Outcome) -> Mapping[str, float]:
    """Seconds by stage, all rounds together. Self-distillation and experts are not timed: no GPU works for them."""
    recipe, prompts = plan.recipe, plan.work.prompts
    rl, diagnose, evaluate = recipe.rl, recipe.diagnose, recipe.evaluate
    scores = rl.steps // rl.eval_every + 1
    dev = 2 * _sampling(plan, rl.eval_problems, 1)
    # Adaptive sampling stops between its least and its most: half-way, assumed.
    drawn = (diagnose.samples + diagnose.max_samples) / 2
    found = {
        "rl": rl.steps * outcome.step + scores * dev,
        "diagnose": _sampling(plan, prompts.train, math.ceil(drawn)),
        "sft": sum(_tuning(plan, stage) for stage in recipe.sft.stages) + dev * len(recipe.sft.stages),
    }
    tests = prompts.test if evaluate.limit is None else min(prompts.test, evaluate.limit)
    modes = int(evaluate.greedy) + int(evaluate.sampled)
    rounds = {name: recipe.rounds * seconds for name, seconds in found.items()}
    return rounds | {"evaluate": _ARMS * modes * _sampling(plan, tests, 1)}


def examples(plan: Plan, stage: SFTStage) -> float:
    """Examples that one epoch of a stage of the curriculum sees, by the shares that RL is assumed to leave behind."""
    train, picked = plan.work.prompts.train, plan.recipe.distill.per_problem
    shares = {"self": INCONSISTENT * picked, "expert": ABSENT, "mastered": (1 - ABSENT - INCONSISTENT) * picked}
    return train * sum(shares[kind] for kind in stage.data) * (1 + stage.replay)


def _tuning(plan: Plan, stage: SFTStage) -> float:
    update = plan.tuning()
    count = examples(plan, stage)
    steps = stage.epochs * math.ceil(count / stage.batch_size)
    return steps * update.seconds([plan.work.mean_tokens] * stage.batch_size, 1)


def _sampling(plan: Plan, problems: int, samples: int) -> float:
    """Seconds to sample so many completions of so many problems."""
    loop = plan.loop()
    random = np.random.default_rng(0)
    lengths = plan.work.lengths(random, problems * samples).reshape(problems, samples)
    seconds, _ = sample_seconds(loop, lengths)
    return seconds
