"""Stage 2: K trajectories per training problem with the RL model, and what its solve rate says of each problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from metis_rise.engines.base import Request
from metis_rise.recipe.diagnose import DiagnoseConfig
from metis_rise.run import append_jsonl, read_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.workshop import Workshop, sample_whole
from metis_rise.types import Bucket, Problem, Trajectory, mean_strict

JOURNAL = "trajectories-0000.jsonl"


def run(shop: Workshop) -> dict[str, Any]:
    """Samples the problems that the journal does not hold yet, then sorts all of them into buckets."""
    config, stage, problems = shop.recipe.diagnose, shop.run.stage("diagnose"), shop.sets.train
    journal = stage.path / JOURNAL
    held = read_trajectories(journal) if journal.exists() else {}
    todo = [p for p in problems if len(held.get(p.id, ())) < config.samples]
    seed = shop.recipe.seed
    requests = [Request(p, config.samples, shop.sampled, derive(seed, "diagnose", p.id)) for p in todo]
    with closing(shop.bench(shop.model_after("rl"))) as bench:
        for group in sample_whole(bench, requests, "rl", "diagnose"):
            append_jsonl(journal, [t.to_json() for t in group.trajectories])
    rates = {key: mean_strict(ts) for key, ts in read_trajectories(journal).items()}
    return _result(problems, rates, config)


def bucket_of(solve_rate: float, config: DiagnoseConfig) -> Bucket:
    """mastered, inconsistent or absent by the recipe's thresholds."""
    if solve_rate >= config.mastered_at:
        return Bucket.MASTERED
    return Bucket.ABSENT if solve_rate <= config.absent_at else Bucket.INCONSISTENT


def read_trajectories(journal: Path) -> dict[str, list[Trajectory]]:
    """A journal's trajectories by problem id, each sample once: a killed run may have written a part of a group.

    Log-probabilities are left out: no reader needs them, and they are most of a journal.
    """
    found: dict[str, dict[int, Trajectory]] = {}
    for row in read_jsonl(journal):
        trajectory = Trajectory.from_json(row | {"logprobs": ()})
        found.setdefault(trajectory.problem_id, {})[trajectory.sample] = trajectory
    return {problem_id: list(samples.values()) for problem_id, samples in found.items()}


def buckets(shop: Workshop) -> dict[str, Bucket]:
    """The bucket of every training problem, from a finished diagnosis."""
    rates: Mapping[str, float] = shop.run.stage("diagnose").result()["solve_rates"]
    return {problem_id: bucket_of(rate, shop.recipe.diagnose) for problem_id, rate in rates.items()}


def _result(problems: Sequence[Problem], rates: Mapping[str, float], config: DiagnoseConfig) -> dict[str, Any]:
    labels = {problem.id: bucket_of(rates[problem.id], config) for problem in problems}
    families: dict[str, dict[str, int]] = {}
    for problem in problems:
        counts = families.setdefault(problem.family, dict.fromkeys(Bucket, 0))
        counts[labels[problem.id]] += 1
    return {
        "counts": {"problems": len(problems), "used": len(problems) * config.samples},
        "dropped": {},
        "buckets": _count(labels.values()),
        "families": families,
        "solve_rates": dict(rates),
    }


def _count(labels: Iterable[Bucket]) -> dict[str, int]:
    found = Counter(labels)
    return {bucket.value: found[bucket] for bucket in Bucket}
