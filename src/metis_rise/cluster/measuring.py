"""Rates of the machine that this runs on: the recipe's model does a little of its work, on made-up problems."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from metis_rise.cluster.facts import ModelFacts
from metis_rise.cluster.flops import group_flops, update_factor, vision_flops
from metis_rise.cluster.rates import Decoding, Rates
from metis_rise.cluster.workload import Workload
from metis_rise.engines.base import Request, SamplingParams, unaborted
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.as_recipe import load_as
from metis_rise.policy.forward import Row, score
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.policy.prompt import Prompt
from metis_rise.recipe import Recipe
from metis_rise.types import AnswerType, Problem

_ROUNDS = 3
# Decoding steps that are timed, and groups that are sampled and trained on at most.
_STEPS, _GROUPS = 32, 12
_WORD = " one"


def measure(recipe: Recipe, facts: ModelFacts, work: Workload) -> Rates:
    """Rates of this machine for the recipe's model; takes seconds for a small one.

    Raises InputError when the model's weights are not here.
    """
    torch.set_num_threads(recipe.threads or torch.get_num_threads())
    config = recipe.model
    policy = load_as(config, config.path)
    # Completions must have the length that is asked for.
    policy.banned_ids = tuple(sorted({*policy.banned_ids, *policy.eos_ids}))
    with tqdm(total=5 * _ROUNDS, desc="measuring this machine", unit="run", leave=False) as bar:
        meter = _Meter(recipe, facts, work, policy, bar.update)
        problem = meter.preparing()
        prompt, decoding = meter.sampling()
        flops = meter.updating()
    threads = torch.get_num_threads()
    source = f"measured here: {policy.device.type}, {threads} thread(s), attention {policy.backend.name}"
    return Rates(flops, prompt, decoding, problem, source)


@dataclass(slots=True)
class _Meter:
    recipe: Recipe
    facts: ModelFacts
    work: Workload
    policy: Policy
    tick: Callable[[], object]
    made: int = 0

    def preparing(self) -> float:
        """Seconds to make a prompt of a problem."""
        return self._best(lambda: None, lambda _: self._prompts(_GROUPS)) / _GROUPS

    def sampling(self) -> tuple[float, Decoding]:
        """Seconds to read a prompt, and a decoding step's."""
        size = self.recipe.rl.group_size
        groups = min(_GROUPS, self.recipe.rl.prompts_per_step)
        steps = max(2, min(_STEPS, round(self.work.mean_tokens)))
        first = self._sample(groups, size, 1)
        many = (self._sample(groups, size, 1 + steps) - first) / steps
        few = (self._sample(1, 1, 1 + steps) - self._sample(1, 1, 1)) / steps
        rows = groups * size
        row = max(0.0, (many - few) / (rows - 1))
        decoding = Decoding(max(1e-9, few - row), row)
        return max(0.0, first - decoding.seconds(rows)) / groups, decoding

    def updating(self) -> float:
        """Floating-point operations per second of forward and backward passes, packing and optimizer included."""
        size, length = self.recipe.rl.group_size, max(1, round(self.work.mean_tokens))
        budget, prompt = self.recipe.rl.micro_tokens, self._prompts(1)[0]
        groups = max(1, min(_GROUPS, self.recipe.rl.prompts_per_step, budget // (len(prompt) + size * length)))
        optimizer = Optimizer(self.policy)
        ids = torch.arange(self.facts.text.vocabulary)
        allowed = ids[~torch.isin(ids, torch.tensor(self.policy.banned_ids))]
        random = torch.Generator().manual_seed(0)

        def rows() -> list[Row]:
            drawn = allowed[torch.randint(len(allowed), (groups * size, length), generator=random)]
            prompts = [each for each in self._prompts(groups) for _ in range(size)]
            return list(zip(prompts, drawn, strict=True))

        def update(rows: Sequence[Row]) -> None:
            with self.policy.updating():
                for scored in score(self.policy, rows, 1.0, budget):
                    torch.autograd.backward(-scored.logprobs.values.mean())
            optimizer.step(0.0)

        seconds = self._best(rows, update)
        model = self.recipe.model
        factor = update_factor(adapters=model.lora is not None, recompute=model.gradient_checkpointing)
        tower = vision_flops(self.facts.vision, _patches(prompt))
        # These pictures are new; a frozen tower encodes each once.
        each = factor * group_flops(self.facts.text, len(prompt), size * length, size)
        return groups * (each + tower * (1 if model.freeze_vision else factor)) / seconds

    def _sample(self, groups: int, size: int, tokens: int) -> float:
        """Seconds to sample `size` completions of `tokens` tokens of so many prompts."""
        params = SamplingParams(self.recipe.sampling.temperature, 1.0, 0, tokens)

        def requests() -> tuple[list[Request], NativeEngine]:
            prompts = self._prompts(groups)
            known = {prompt.problem: prompt for prompt in prompts}
            engine = NativeEngine(self.policy, lambda problem: known[problem.id], self.recipe.sampling.batch_tokens)
            return [Request(_problem(name), size, params) for name in known], engine

        return self._best(requests, lambda made: list(unaborted(made[1].sample(made[0]))))

    def _best(self, prepare: Callable[[], object], run: Callable[..., object]) -> float:
        """Least seconds of `run` on what `prepare` makes, new each time: whatever disturbs it only adds."""
        found = math.inf
        for turn in range(_ROUNDS + 1):
            made = prepare()
            start = time.perf_counter()
            run(made)
            if turn:
                found = min(found, time.perf_counter() - start)
                self.tick()
        return found

    def _prompts(self, count: int) -> list[Prompt]:
        """Prompts of the mean size, each with a new picture, so that no cache knows it."""
        return [self._prompt() for _ in range(count)]

    def _prompt(self) -> Prompt:
        self.made += 1
        vision, tokens = self.facts.vision, self.work.prompts.image / max(self.work.prompts.pictured, 1e-9)
        # A share of the problems has no picture.
        pictured = tokens >= 1 and self.made % 100 < 100 * self.work.prompts.pictured
        pictures = [_noise(self.made, round(math.sqrt(tokens * vision.merge)) * vision.patch)] if pictured else []
        text = (_WORD * max(1, round(self.work.prompts.text) - 15)).lstrip()
        content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": text}]
        prompt = self.policy.encode([{"role": "user", "content": content}], pictures)
        return replace(prompt, problem=f"made-up-{self.made}")


def _noise(seed: int, side: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _patches(prompt: Prompt) -> int:
    return 0 if prompt.image_grid_thw is None else int(prompt.image_grid_thw.prod(-1).sum())


def _problem(name: str) -> Problem:
    return Problem(id=name, question="", answer="1", answer_type=AnswerType.NUMBER, images=())
