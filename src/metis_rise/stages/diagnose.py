"""Stage 2: trajectories of every training problem with the RL model, and what its solve rate says of each problem.

Sampling is adaptive: a problem whose bucket is settled leaves, the others get another round, up to `max_samples`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from metis_rise.engines.base import Request
from metis_rise.recipe.diagnose import DiagnoseConfig
from metis_rise.run import append_jsonl, write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.journals import JOURNAL, stream_trajectories
from metis_rise.stages.model_judge import settled
from metis_rise.stages.reuse import fresh_rollouts
from metis_rise.stages.rounds import Draw, Rounds, blocks
from metis_rise.stages.solve_rate import Tally, bucket_of, interval
from metis_rise.stages.workshop import Bench, Workshop, sample_whole
from metis_rise.types import Bucket, Group, Problem

SOLVE_RATES = "solve-rates.jsonl"
# What is sampled in one call, in budgets of the sampler (sampling.batch_tokens): a kill costs no more than that, and
# the time in which the last rows of a call leave room for others is an eighth of a budget's.
BLOCK_BUDGETS = 8


def run(shop: Workshop) -> dict[str, Any]:
    """Samples what the journal does not hold yet, round by round, then sorts all problems into buckets."""
    config, stage, problems = shop.recipe.diagnose, shop.run.stage("diagnose"), shop.sets.train
    rounds = Rounds(shop.recipe, problems)
    journal = stage.path / JOURNAL
    for _, trajectory in stream_trajectories(journal) if journal.exists() else ():
        rounds.add(trajectory)
    if config.reuse_rl or rounds.due():
        with closing(shop.bench(shop.model_after("rl"))) as bench:
            if config.reuse_rl:
                _reuse(shop, bench, rounds)
            while draws := rounds.due():
                _draw(shop, bench, rounds, draws)
    # Later stages read it, also when nothing was sampled.
    append_jsonl(journal, [])
    tallies = {problem.id: rounds.tally(problem.id) for problem in problems}
    write_jsonl(stage.path / SOLVE_RATES, (_row(key, tally, config) for key, tally in tallies.items()))
    result = _result(problems, tallies, sum(rounds.reused(problem.id) for problem in problems), config)
    shop.run.log(f"diagnosis: {_spared(result['sampling'], config)}")
    return result


def buckets(shop: Workshop) -> dict[str, Bucket]:
    """The bucket of every training problem, from a finished diagnosis."""
    rates: Mapping[str, float] = shop.run.stage("diagnose").result()["solve_rates"]
    return {problem_id: bucket_of(rate, shop.recipe.diagnose) for problem_id, rate in rates.items()}


def _draw(shop: Workshop, bench: Bench, rounds: Rounds, draws: Sequence[Draw]) -> None:
    """Samples what lacks of one round; every group is in the journal before the next one is waited for.

    In this process the bits of a completion depend a little on those that are drawn beside it. So a block is drawn as
    a whole again when a kill left a part of it, and the journal ends as if nothing had happened. Servers are asked for
    what lacks alone.
    """
    if bench.engine.remote:
        _sample(shop, bench, rounds, [draw for draw in draws if rounds.lacks(draw)])
        return
    samplers = 1 if shop.team is None else shop.team.size
    for block in blocks(draws, samplers * BLOCK_BUDGETS * shop.recipe.sampling.batch_tokens // shop.max_tokens):
        if any(rounds.lacks(draw) for draw in block):
            _sample(shop, bench, rounds, block)


def _sample(shop: Workshop, bench: Bench, rounds: Rounds, draws: Sequence[Draw]) -> None:
    journal, number, first = shop.run.stage("diagnose").path / JOURNAL, draws[0].number, draws[0].first
    requests = [
        Request(d.problem, d.count, shop.sampled, derive(shop.seed, "diagnose", d.problem.id, number)) for d in draws
    ]
    lacking = {draw.problem.id for draw in draws if rounds.lacks(draw)}
    groups = sample_whole(bench, requests, "rl", f"diagnose, round {number + 1}")
    for group in settled(shop.recipe, shop.run, (each for each in groups if each.problem.id in lacking)):
        trajectories = [replace(t, sample=first + t.sample) for t in group.trajectories]
        # Of a group that was half written the other half.
        new = [t for t in trajectories if not rounds.has(t.problem_id, t.sample)]
        append_jsonl(journal, [t.to_json() for t in new])
        for trajectory in new:
            rounds.add(trajectory)


def _reuse(shop: Workshop, bench: Bench, rounds: Rounds) -> None:
    """Copies RL's fresh trajectories into the journal, where later stages find them; those that are there stay."""
    wanted = {problem.id: problem for problem in shop.sets.train}
    rl, encode = shop.run.stage("rl"), bench.policy.completion_ids
    found = fresh_rollouts(rl, shop.recipe.diagnose, wanted, lambda text: encode(text).tolist())
    groups = (Group(wanted[t.problem_id], (t,)) for t in found if not rounds.has(t.problem_id, t.sample))
    # RL knows no model judge.
    new = [t for group in settled(shop.recipe, shop.run, groups) for t in group.trajectories]
    append_jsonl(shop.run.stage("diagnose").path / JOURNAL, [t.to_json() for t in new])
    for trajectory in new:
        rounds.add(trajectory)


def _result(
    problems: Sequence[Problem], tallies: Mapping[str, Tally], reused: int, config: DiagnoseConfig
) -> dict[str, Any]:
    labels = {key: bucket_of(tally.rate, config) for key, tally in tallies.items()}
    families: dict[str, dict[str, int]] = {}
    for problem in problems:
        counts = families.setdefault(problem.family, dict.fromkeys(Bucket, 0))
        counts[labels[problem.id]] += 1
    used, fixed = sum(tally.samples for tally in tallies.values()), len(problems) * config.max_samples
    sizes = Counter(tally.samples for tally in tallies.values())
    return {
        "counts": {"problems": len(problems), "used": used, "saved": fixed - used + reused},
        "dropped": {},
        "buckets": {bucket.value: sum(label is bucket for label in labels.values()) for bucket in Bucket},
        "families": families,
        "solve_rates": {key: tally.rate for key, tally in tallies.items()},
        "sampling": {
            "drawn": used - reused,
            "reused": reused,
            "fixed": fixed,
            "problems_by_samples": {str(size): sizes[size] for size in sorted(sizes)},
        },
    }


def _spared(sampling: Mapping[str, Any], config: DiagnoseConfig) -> str:
    """How many samples were drawn, against a fixed number of each problem."""
    drawn, fixed = sampling["drawn"], sampling["fixed"]
    if not fixed:
        return "nothing is sampled (diagnose.max_samples=0): every problem counts as absent"
    reused = f" and {sampling['reused']} reused from RL" if config.reuse_rl else ""
    by_samples = ", ".join(f"{count} problems with {size}" for size, count in sampling["problems_by_samples"].items())
    saved = f"{100 * (1 - drawn / fixed):.0f} % saved against {config.max_samples} for each ({fixed})"
    return f"{drawn} samples drawn{reused}, {saved}: {by_samples}"


def _row(problem_id: str, tally: Tally, config: DiagnoseConfig) -> dict[str, Any]:
    low, high = interval(tally)
    return {
        "problem_id": problem_id,
        "bucket": bucket_of(tally.rate, config).value,
        "right": tally.right,
        "samples": tally.samples,
        "solve_rate": tally.rate,
        "low": round(low, 4),
        "high": round(high, 4),
    }
