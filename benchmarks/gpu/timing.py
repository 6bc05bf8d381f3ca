"""Seconds, memory and utilisation of the arms on one case, within a budget of wall-clock time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch

from gpu.arms import KEPT, PACKED, PADDED, PADDING_FREE, Job, grpo_loss
from gpu.cases import Case, make_rows
from gpu.shapes import Shape
from metis_rise.cluster.facts import ModelFacts, facts_of
from metis_rise.cluster.flops import packed_flops, update_factor, vision_flops
from metis_rise.policy.model import Policy
from metis_rise.policy.packing import Row

ARMS = (PACKED, PADDING_FREE, PADDED, KEPT)
# Model operations of an update, as forward passes: what utilisation counts, recomputation left out.
TRAINING = update_factor(adapters=False, recompute=False)
# Dense bfloat16 FLOP/s that the makers state; the first that occurs in the device's name is taken.
PEAKS = {"H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "A100": 312e12}


def peak_flops(device_name: str) -> float | None:
    """Of a device by its name; None for one that is not in the table."""
    return next((peak for name, peak in PEAKS.items() if name in device_name), None)


@dataclass(slots=True)
class Clock:
    """How much of `budget` seconds is left, and how long a case will take, judging by the slowest before it."""

    budget: float
    started: float = field(default_factory=time.perf_counter)
    seconds_per_flop: float = 0.0

    def spent(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def left(self) -> float:
        """Seconds until the budget is used up."""
        return self.budget - self.spent()

    def allows(self, flops: float) -> bool:
        """Whether a case of so many operations would end in time; the first one is taken to, while there is any."""
        return 0 < self.left() >= self.seconds_per_flop * flops

    def learn(self, seconds: float, flops: float) -> None:
        """A case of so many operations took so long."""
        self.seconds_per_flop = max(self.seconds_per_flop, seconds / flops)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all cases share: a module, how it is measured, and `peak` FLOP/s of the device (None: not known)."""

    shape: Shape
    model: Any
    make_policy: Callable[[bool], Policy]
    budget: int
    rounds: int
    peak: float | None
    clock: Clock

    def measure(self, case: Case) -> dict[str, Any] | None:
        """A row of results; None when the case would not end in time."""
        expected = self.expected_flops(case)
        if not self.clock.allows(expected):
            return None
        start = self.clock.spent()
        policy = self.make_policy(case.trained)
        rows = make_rows(self.shape, policy.core, [case.image_tokens], case.lengths())
        loss = grpo_loss(case, self.shape.text["vocab_size"], policy.device)
        runs = _Runs(Job(policy, rows, loss, self.budget), self.clock)
        runs.measure((PACKED, PADDING_FREE, PADDED), self.rounds)
        # Apart, since what it leaves in the allocator's cache is of no use to the others.
        runs.measure((KEPT,), self.rounds)
        self.clock.learn(self.clock.spent() - start, expected)
        return {
            "case": asdict(case),
            "prompt_tokens": len(rows[0][0]),
            "unique_tokens": len(rows[0][0]) + sum(case.lengths()),
            **runs.summary(self.unique_flops(case, rows), self.peak),
        }

    def unique_flops(self, case: Case, rows: Sequence[Row]) -> float:
        """Model operations of one update: forward and backward of each token once."""
        facts = self.facts
        return TRAINING * (packed_flops(facts.text, len(rows[0][0]), case.lengths()) + self.tower_flops(case))

    def expected_flops(self, case: Case) -> float:
        """About what all arms compute in all rounds, recomputation included."""
        text, lengths, tower = self.facts.text, case.lengths(), self.tower_flops(case)
        prompt = self.shape.text_tokens + case.image_tokens
        packed = packed_flops(text, prompt, lengths) + tower
        free = sum(packed_flops(text, prompt, [length]) + tower for length in lengths)
        padded = len(lengths) * (packed_flops(text, prompt, [max(lengths)]) + tower)
        return (TRAINING + 1) * (self.rounds + 1) * (2 * packed + free + padded)

    def tower_flops(self, case: Case) -> float:
        """Of a picture's way through the tower; none where that is frozen and its features are known."""
        vision = self.facts.vision
        return vision_flops(vision, case.image_tokens * vision.merge) if case.trained else 0.0

    @property
    def facts(self) -> ModelFacts:
        """Dimensions of the module."""
        return facts_of(self.model.config.to_dict(), self.shape.name)


class _Runs:
    """The arms' runs on one case."""

    def __init__(self, job: Job, clock: Clock) -> None:
        self.job, self.clock = job, clock
        self.device = job.policy.device
        self.seconds: dict[str, list[float]] = {}
        self.memory: dict[str, float] = {}
        self.notes: list[str] = []

    def measure(self, arms: Sequence[str], count: int) -> None:
        """`count` rounds of all `arms` that fit into memory, after a run of each that warms up."""
        fitting = [arm for arm in arms if self._warm_up(arm)]
        longest = 0.0
        for turn in range(count if fitting else 0):
            if longest > self.clock.left():
                self.notes.append(f"{', '.join(fitting)}: {turn} of {count} rounds, time was up")
                return
            start = time.perf_counter()
            # The first one changes, so that a device that slows down meets all of them.
            for arm in fitting[turn % len(fitting) :] + fitting[: turn % len(fitting)]:
                self.seconds.setdefault(arm, []).append(self._time(arm))
            longest = max(longest, time.perf_counter() - start)

    def _warm_up(self, arm: str) -> bool:
        """Run `arm` once, for its memory; False when that does not suffice."""
        cuda = self.device.type == "cuda"
        self._clear()
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            self.job.run(arm)
        except torch.OutOfMemoryError:
            self.notes.append(f"{arm} ran out of memory")
            return False
        if cuda:
            self.memory[arm] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        if self.job.passes[arm] > 1:
            self.notes.append(f"{arm} in {self.job.passes[arm]} micro-batches")
        return True

    def summary(self, flops: float, peak: float | None) -> dict[str, Any]:
        """The part of a row that was measured. Ratios are medians over rounds of a peer's seconds over ours."""
        ours = self.seconds.get(PACKED, [])
        ratios = {
            peer: [theirs / own for theirs, own in zip(self.seconds[peer], ours, strict=True)]
            for peer in (PADDING_FREE, PADDED)
            if ours and peer in self.seconds
        }
        seconds = {arm: median(values) for arm, values in self.seconds.items()}
        return {
            "seconds": {arm: round(value, 5) for arm, value in seconds.items()},
            "ratio": {peer: round(median(values), 3) for peer, values in ratios.items()},
            "spread": {peer: [round(min(values), 3), round(max(values), 3)] for peer, values in ratios.items()},
            "memory_mb": self.memory or None,
            "model_tflop": round(flops / 1e12, 6),
            "mfu": {arm: round(flops / value / peak, 4) for arm, value in seconds.items()} if peak else None,
            "notes": self.notes,
        }

    def _time(self, arm: str) -> float:
        self._clear()
        self._synchronize()
        start = time.perf_counter()
        self.job.run(arm)
        self._synchronize()
        return time.perf_counter() - start

    def _clear(self) -> None:
        """Every run starts without gradients."""
        self.job.policy.model.zero_grad(set_to_none=True)
        gc.collect()

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
