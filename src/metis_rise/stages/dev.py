"""Scores on development problems: how a training stage sees, between its steps, whether it helps."""

from __future__ import annotations

from metis_rise.engines.base import Request
from metis_rise.report.html import refresh_report
from metis_rise.seeding import derive
from metis_rise.stages.workshop import Bench, Workshop, sample_whole
from metis_rise.types import Problem, mean_strict


def dev_problems(shop: Workshop) -> list[Problem]:
    """`rl.eval_problems` dev problems, spread evenly over the set; all of them when there are not so many."""
    dev = shop.sets.dev
    count = min(shop.recipe.rl.eval_problems, len(dev))
    return [dev[i * len(dev) // count] for i in range(count)]


def score_dev(shop: Workshop, bench: Bench, curve: str, step: int) -> float:
    """Logs greedy and sampled accuracy on `rl.eval_problems` dev problems as metrics of `curve`; returns their mean.

    The draws are the same at every call.
    """
    problems = dev_problems(shop)
    scores = {}
    for mode, params in (("greedy", shop.greedy), ("sampled", shop.sampled)):
        requests = [Request(p, 1, params, derive(shop.recipe.seed, "dev", p.id)) for p in problems]
        groups = sample_whole(bench, requests, curve, f"dev {mode}")
        scores[mode] = mean_strict([t for group in groups for t in group.trajectories])
    shop.run.metric(curve, step, scores)
    refresh_report(shop.run)
    text = ", ".join(f"{mode} {100 * value:.1f} %" for mode, value in scores.items())
    shop.run.log(f"{curve} at step {step}: {len(problems)} problems, {text}")
    return sum(scores.values()) / len(scores)


def dev_score(shop: Workshop, curve: str, step: int) -> float:
    """What `score_dev` returned when it logged `step` of `curve`."""
    row = next(row for row in shop.run.metrics(curve) if row["step"] == step)
    values: dict[str, float] = row["values"]
    return sum(values.values()) / len(values)
