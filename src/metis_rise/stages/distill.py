"""Stage 3: the RL model's own right trajectories become examples for the problems it solves only sometimes.

Mastered problems give one trajectory each as well, which curriculum SFT replays so that they stay mastered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from metis_rise.recipe.distill import DistillConfig
from metis_rise.run import write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.accept import own_fault
from metis_rise.stages.diagnose import buckets
from metis_rise.stages.journals import JOURNAL, by_problem
from metis_rise.stages.picks import pick
from metis_rise.stages.workshop import Workshop
from metis_rise.terminal import Loop
from metis_rise.types import Bucket, Problem, Trajectory

REPLAY = "replay-0000.jsonl"


@dataclass(slots=True)
class Selection:
    """What is taught of the trajectories of several problems, and why the others are not."""

    problems: int = 0
    candidates: int = 0
    kept: list[Trajectory] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def choose(
        self, problem: Problem, trajectories: Sequence[Trajectory], config: DistillConfig, most: int, rng: Random
    ) -> None:
        """Adds at most `most` good trajectories of one problem to those kept, and counts the others."""
        good = []
        for trajectory in trajectories:
            fault = own_fault(problem, trajectory, config)
            if fault:
                self.dropped[fault] += 1
            else:
                good.append(trajectory)
        chosen, dropped = pick(good, config, most, rng)
        self.problems += 1
        self.candidates += len(trajectories)
        self.kept += chosen
        self.dropped += dropped


def run(shop: Workshop) -> dict[str, Any]:
    """Chooses self-distilled and replay trajectories from the diagnosis journal."""
    config, labels = shop.recipe.distill, buckets(shop)
    problems = {problem.id: problem for problem in shop.sets.train}
    own, replay = Selection(), Selection()
    uses = {Bucket.INCONSISTENT: (own, config.per_problem), Bucket.MASTERED: (replay, 1)}
    wanted = {key for key, label in labels.items() if label in uses}
    sampled = by_problem(shop.run.stage("diagnose").path / JOURNAL, wanted)
    bar = Loop(sampled, desc="distill", unit="problem", total=len(wanted))
    for key, trajectories in bar:
        selection, most = uses[labels[key]]
        rng = Random(derive(shop.seed, "distill", key))
        selection.choose(problems[key], trajectories, config, most, rng)
        bar.set_postfix(kept=len(own.kept), replay=len(replay.kept), dropped=own.dropped.total())
    folder = shop.run.stage("distill").path
    for name, kept, source in ((JOURNAL, own.kept, "self"), (REPLAY, replay.kept, "mastered")):
        write_jsonl(folder / name, (replace(t, source=source, logprobs=()).to_json() for t in kept))
    taught = len({t.problem_id for t in own.kept})
    return {
        "counts": {
            "problems": own.problems,
            "candidates": own.candidates,
            "kept": len(own.kept),
            "used": len(own.kept),
            "replay": len(replay.kept),
        },
        "problems_taught": taught,
        "dropped": dict(own.dropped),
        "replay_dropped": dict(replay.dropped),
    }
