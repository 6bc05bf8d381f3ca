"""A whole GRPO step: sample a group, reward it, update with clipping and the optimizer; ours against TRL's trainer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from metis_rise.bench import trl_steps
from metis_rise.bench.cases import OURS, Arms, Case, Fresh
from metis_rise.bench.workbench import Workbench
from metis_rise.engines.base import Request, SamplingParams, unaborted
from metis_rise.engines.native import NativeEngine
from metis_rise.problems.images import ImageStore
from metis_rise.recipe.rl import RLConfig
from metis_rise.stages.collector import KeptGroup
from metis_rise.stages.hands import OptimizerSettings, OwnHands
from metis_rise.stages.prompts import Prompts
from metis_rise.stages.update import Updater
from metis_rise.stages.workshop import Bench
from metis_rise.types import AnswerType, Group, Problem, Verdict

# The reward is right (1) or not (0) and nothing else.
CONFIG = RLConfig(warmup_steps=0, format_weight=0.0, overlong_buffer=0)


def step_arms(bench: Workbench, case: Case) -> Arms:
    """Each arm takes a step on one problem and returns the norm of its gradient before clipping.

    Ours trains the policy, "trl" a copy of `plain`.
    """
    return {OURS: own_step(bench, case), "trl": trl_steps.whole_grpo_step(bench, case, right, CONFIG)}


def right(tokens: Sequence[int]) -> bool:
    """The reward of a completion in both arms: free to compute, and half of random completions earn it."""
    return sum(tokens) % 2 == 0


def own_step(bench: Workbench, case: Case) -> Fresh[Problem]:
    """What `rise rl` does in a step, without its filter: every group is trained on."""
    policy = bench.policy
    # Removed with `make`, the last to name it.
    folder = tempfile.TemporaryDirectory(prefix="rise-bench-")
    prompts = Prompts(policy, ImageStore(Path(folder.name)), None)
    engine = NativeEngine(policy, prompts)
    params = SamplingParams(max_tokens=case.completion_tokens)
    settings = OptimizerSettings(CONFIG.weight_decay, CONFIG.max_grad_norm, CONFIG.adam_beta2)
    training = OwnHands(policy, prompts).training(settings)
    updater = Updater(Bench(policy, engine, prompts), training, CONFIG, (params.temperature, params.max_tokens))

    def make(turn: int) -> Problem:
        (picture,) = bench.pictures(case, turn)
        png = BytesIO()
        picture.save(png, format="PNG")
        key = ImageStore(Path(folder.name)).put(png.getvalue())
        return Problem(str(turn), bench.question, "", AnswerType.TEXT, (key,))

    def run(problem: Problem) -> Tensor:
        (group,) = unaborted(engine.sample([Request(problem, case.group_size, params, seed=int(problem.id))]))
        kept = KeptGroup(_rewarded(group), int(problem.id), tuple(t.logprobs for t in group.trajectories))
        return torch.tensor(updater.update([kept], CONFIG.learning_rate)["grad_norm"])

    return Fresh(make, run)


def _rewarded(group: Group) -> Group:
    trajectories = (
        replace(t, verdict=Verdict(right(t.tokens), well_formed=True, extracted=None, rule="bench"))
        for t in group.trajectories
    )
    return Group(group.problem, tuple(trajectories))
