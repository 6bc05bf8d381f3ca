"""Stage 6: the base, the RL model and the RISE model on the same test problems, greedy and sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from metis_rise.engines.base import Request
from metis_rise.report.statistics import wilson
from metis_rise.run import read_jsonl, write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.model_judge import accepted, settled
from metis_rise.stages.workshop import Workshop, sample_whole
from metis_rise.terminal import Bar
from metis_rise.types import Problem, Trajectory, mean_strict

ARMS = ("base", "rl", "rise")


def run(shop: Workshop) -> dict[str, Any]:
    """Scores every arm and mode that has no file yet."""
    config, folder = shop.recipe.evaluate, shop.run.stage("evaluate").path
    problems = shop.sets.test[: config.limit]
    modes = [mode for mode, wanted in (("greedy", config.greedy), ("sampled", config.sampled)) if wanted]
    files = {arm: {mode: folder / f"{arm}-{mode}.jsonl" for mode in modes} for arm in ARMS}
    _answer(shop, problems, files)
    scores: dict[str, dict[str, Any]] = {}
    for arm in ARMS:
        for mode, file in files[arm].items():
            trajectories = [Trajectory.from_json(row) for row in read_jsonl(file)]
            scores.setdefault(arm, {})[mode] = summarise(problems, trajectories, shop.recipe.judge.model)
    used = len(problems) * len(ARMS) * len(modes)
    return {"arms": scores, "counts": {"problems": len(problems), "used": used}, "dropped": {}}


def _model(shop: Workshop, arm: str) -> str | Path:
    """The base, what the first round's RL made of it, and what the last round's SFT made of that."""
    if arm == "base":
        return shop.recipe.model.path
    return shop.model_after("rl") if arm == "rl" else shop.in_round(shop.recipe.rounds).model_after("sft")


def _answer(shop: Workshop, problems: Sequence[Problem], files: Mapping[str, Mapping[str, Path]]) -> None:
    """Writes the files of each arm and mode that are not there."""
    missing = {arm: {mode: file for mode, file in each.items() if not file.exists()} for arm, each in files.items()}
    sets, left = (sum(map(len, each.values())) for each in (files, missing))
    total, size = sets * len(problems), len(problems)
    with Bar(total=total, initial=total - left * size, desc="test", unit="answer") as bar:
        for arm, wanted in missing.items():
            if wanted:
                _answer_as(shop, problems, arm, wanted, bar)


def _answer_as(shop: Workshop, problems: Sequence[Problem], arm: str, files: Mapping[str, Path], bar: Bar) -> None:
    """Writes the trajectories of each mode in `files`; the arm's model is gone when the next arm's comes."""
    # The same seeds for every arm: differences are the models', not the draws'.
    seeds = [(problem, derive(shop.recipe.seed, "evaluate", problem.id)) for problem in problems]
    with closing(shop.bench(_model(shop, arm))) as bench:
        for mode, file in files.items():
            params = shop.greedy if mode == "greedy" else shop.sampled
            requests = [Request(problem, 1, params, seed) for problem, seed in seeds]
            sampled = bar.counted(sample_whole(bench, requests, arm, f"test {arm} {mode}"))
            groups = settled(shop.recipe, shop.run, sampled)
            write_jsonl(file, [t.to_json() for group in groups for t in group.trajectories])


def summarise(
    problems: Sequence[Problem], trajectories: Sequence[Trajectory], judge: str | None = None
) -> dict[str, Any]:
    """Strict accuracy (right and well formed) with its 95 % Wilson interval, and per family; "n" problems.

    With a model `judge`, its name, and how many answers are right by its word alone.
    """
    by_id = {t.problem_id: t for t in trajectories}
    ordered = [by_id[problem.id] for problem in problems]
    families: dict[str, list[Trajectory]] = {}
    for problem, trajectory in zip(problems, ordered, strict=True):
        families.setdefault(problem.family, []).append(trajectory)
    low, high = wilson(sum(t.strict for t in ordered), len(ordered))
    return {
        "accuracy": mean_strict(ordered),
        "low": low,
        "high": high,
        "n": len(ordered),
        "families": {family: mean_strict(found) for family, found in families.items()},
        **({} if judge is None else {"judge": judge, "by_judge": sum(accepted(t.verdict, judge) for t in ordered)}),
    }
