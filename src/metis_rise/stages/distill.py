"""Stage 3: the RL model's own right trajectories become examples for the problems it solves only sometimes.

Mastered problems give one trajectory each as well, which curriculum SFT replays so that they stay mastered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from random import Random
from typing import Any

from tqdm import tqdm

from metis_rise.recipe.distill import DistillConfig
from metis_rise.run import write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.diagnose import JOURNAL, buckets, read_trajectories
from metis_rise.stages.workshop import Workshop
from metis_rise.types import Bucket, StopReason, Trajectory

REPLAY = "replay-0000.jsonl"


@dataclass(slots=True)
class _Selection:
    kept: list[Trajectory] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def run(shop: Workshop) -> dict[str, Any]:
    """Chooses self-distilled and replay trajectories from the diagnosis journal."""
    config, labels = shop.recipe.distill, buckets(shop)
    sampled = read_trajectories(shop.run.stage("diagnose").path / JOURNAL)
    own, replay = _Selection(), _Selection()
    wanted = {Bucket.INCONSISTENT: (own, config.per_problem), Bucket.MASTERED: (replay, 1)}
    for problem_id, trajectories in tqdm(sampled.items(), desc="distill", unit="problem", leave=False):
        if labels[problem_id] in wanted:
            selection, most = wanted[labels[problem_id]]
            rng = Random(derive(shop.recipe.seed, "distill", problem_id))
            choose(trajectories, config, most, selection.kept, selection.dropped, rng)
    folder = shop.run.stage("distill").path
    for name, kept, source in ((JOURNAL, own.kept, "self"), (REPLAY, replay.kept, "mastered")):
        write_jsonl(folder / name, (replace(t, source=source).to_json() for t in kept))
    return {
        "counts": {
            "problems": sum(label is Bucket.INCONSISTENT for label in labels.values()),
            "candidates": sum(len(ts) for key, ts in sampled.items() if labels[key] is Bucket.INCONSISTENT),
            "kept": len(own.kept),
            "used": len(own.kept),
            "replay": len(replay.kept),
        },
        "dropped": dict(own.dropped),
    }


def choose(
    trajectories: Sequence[Trajectory],
    config: DistillConfig,
    most: int,
    kept: list[Trajectory],
    dropped: Counter[str],
    rng: Random,
) -> None:
    """Adds at most `most` good trajectories of one problem to `kept` and counts the others in `dropped`."""
    good = []
    for trajectory in trajectories:
        fault = _fault(trajectory, config)
        if fault:
            dropped[fault] += 1
        else:
            good.append(trajectory)
    chosen: list[Trajectory] = []
    for trajectory in _ordered(good, config, rng):
        if len(chosen) == most:
            dropped["over the cap"] += 1
        elif any(alike(trajectory.text, other.text, config.max_similarity) for other in chosen):
            dropped["near duplicate"] += 1
        else:
            chosen.append(trajectory)
    kept += chosen


def _fault(trajectory: Trajectory, config: DistillConfig) -> str:
    verdict = trajectory.verdict
    assert verdict is not None
    if trajectory.stop is StopReason.LENGTH:
        return "cut by length"
    if not verdict.well_formed:
        return "bad format"
    if not verdict.correct:
        return "wrong answer"
    return "chain wrong" if config.check_chains and verdict.chain is False else ""


def _ordered(good: Sequence[Trajectory], config: DistillConfig, rng: Random) -> list[Trajectory]:
    if config.pick == "random":
        return rng.sample(list(good), len(good))
    length: Callable[[Trajectory], int] = lambda t: len(t.tokens)  # noqa: E731
    return sorted(good, key=length, reverse=config.pick == "longest")


def alike(first: str, second: str, threshold: float) -> bool:
    """Whether two texts, spaces and case aside, are the same or more similar than `threshold` (0 to 1)."""
    left, right = (" ".join(text.lower().split()) for text in (first, second))
    if left == right:
        return True
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    # The quick ratios are upper bounds: on long texts they spare nearly all of the quadratic work.
    bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)
    return all(bound() > threshold for bound in bounds)
