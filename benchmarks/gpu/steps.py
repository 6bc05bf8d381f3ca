"""The parts of an RL step and an SFT step, each with its seconds and its peak of memory, as stages do them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TypeVar

import torch

from gpu.subject import Subject
from metis_rise.bench.measure import forget_peak, peak_resident_mb
from metis_rise.bench.step import right
from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.stages.collector import KeptGroup
from metis_rise.stages.hands import OptimizerSettings, OwnHands
from metis_rise.stages.passes import Completion
from metis_rise.stages.update import Updater
from metis_rise.stages.workshop import Bench
from metis_rise.types import Group, Verdict

SAMPLING, UPDATE, SFT = "sampling", "update", "SFT step"
PARTS = (SAMPLING, UPDATE, SFT)
T = TypeVar("T")


@dataclass(slots=True)
class Meter:
    """Seconds and peaks of memory by part, in MB of 2**20 bytes; on the CPU above what was resident at first."""

    device: torch.device
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    reserved: float = 0.0
    part: str = "loading"
    idle: float = 0.0

    def __post_init__(self) -> None:
        """What is resident now is the idle process."""
        if not self._cuda:
            forget_peak()
            self.idle = peak_resident_mb()

    @property
    def _cuda(self) -> bool:
        return self.device.type == "cuda"

    def run(self, part: str, call: Callable[[], T]) -> T:
        """What `call` returns."""
        self.part = part
        gc.collect()
        self._synchronize()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            forget_peak()
        start = time.perf_counter()
        found = call()
        self._synchronize()
        self.seconds.setdefault(part, []).append(time.perf_counter() - start)
        if self._cuda:
            self.reserved = max(self.reserved, torch.cuda.max_memory_reserved() / 2**20)
        peak = torch.cuda.max_memory_allocated() / 2**20 if self._cuda else peak_resident_mb() - self.idle
        self.peak[part] = max(self.peak.get(part, 0.0), peak)
        return found

    def outside(self) -> float:
        """MB of the GPU that torch's allocator does not have: contexts, libraries, whoever else is there."""
        if not self._cuda:
            return 0.0
        free, total = torch.cuda.mem_get_info()
        return (total - free - torch.cuda.memory_reserved()) / 2**20

    def median(self, part: str) -> float:
        """Seconds of the rounds after the first, which warms up; of that one where there is no other."""
        return median(self.seconds[part][1:] or self.seconds[part])

    def _synchronize(self) -> None:
        if self._cuda:
            torch.cuda.synchronize()


class Steps:
    """One round after another: samples, updates, fine-tunes."""

    def __init__(self, subject: Subject, meter: Meter) -> None:
        recipe, policy = subject.recipe, subject.policy
        self._subject, self._meter, self._rl, self._budget = subject, meter, recipe.rl, recipe.sft.micro_tokens
        self._params = SamplingParams(recipe.sampling.temperature, max_tokens=subject.sizes.completion_tokens)
        self._engine = NativeEngine(policy, subject.prompts, recipe.sampling.batch_tokens)
        self._hands = OwnHands(policy, subject.prompts)
        self._training = self._hands.training(
            OptimizerSettings(self._rl.weight_decay, self._rl.max_grad_norm, self._rl.adam_beta2)
        )
        bench = Bench(policy, self._engine, subject.prompts)
        self._updater = Updater(bench, self._training, self._rl, (self._params.temperature, self._params.max_tokens))

    def round(self) -> dict[str, float]:
        """An RL step and an SFT step; norms of their gradients."""
        sizes, meter = self._subject.sizes, self._meter
        with self._subject.problems(sizes.groups) as problems:
            requests = [
                Request(problem, sizes.group_size, self._params, seed=number) for number, problem in enumerate(problems)
            ]
            groups = meter.run(SAMPLING, lambda: [_rewarded(group) for group in self._engine.sample(requests)])
            kept = [KeptGroup(group, 0, tuple(t.logprobs for t in group.trajectories)) for group in groups]
            figures = meter.run(UPDATE, lambda: self._updater.update(kept, self._rl.learning_rate))
        with self._subject.problems(sizes.examples) as problems:
            pairs = zip(problems, self._subject.answers(sizes.examples), strict=True)
            examples = [Completion(problem, tokens) for problem, tokens in pairs]
            norm = meter.run(SFT, lambda: self._tune(examples))
        return {UPDATE: figures["grad_norm"], SFT: norm}

    def _tune(self, examples: list[Completion]) -> float:
        taught = self._hands.teach(examples, self._budget)
        return self._training.step(self._rl.learning_rate, taught.loss)


def _rewarded(group: Group) -> Group:
    """Random text earns nothing: half of it is said to be right."""
    trajectories = (
        replace(t, verdict=Verdict(right(t.tokens), well_formed=True, extracted=None, rule="bench"))
        for t in group.trajectories
    )
    return Group(group.problem, tuple(trajectories))
