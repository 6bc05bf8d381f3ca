"""What a run has spent: generated and trained tokens, expert traces, seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from metis_rise.journal import stream_jsonl
from metis_rise.problems.reader import load_problems
from metis_rise.recipe import Recipe
from metis_rise.run import STAGES, Run, read_jsonl
from metis_rise.stages.curriculum import wants
from metis_rise.stages.journals import JOURNAL

CountTokens = Callable[[str], int]
Spent = dict[str, dict[str, Any]]


def spent(path: Path, recipe: Recipe, count_tokens: CountTokens) -> Spent:
    """What all finished stages of a run have spent, those that it took over from another run too.

    generated, trained: tokens of completions by stage, what dev scores take not counted. seconds: by stage, as long as
    it took whoever did it. expert: problems asked, calls (answers that were looked at, wrong ones too), traces kept,
    how many of them were taught, their tokens (and those of prompts, where an endpoint counts them), and money.
    """
    return joined(_of_round(Run(path, number), recipe, count_tokens) for number in range(1, recipe.rounds + 1))


def joined(parts: Iterable[Spent]) -> Spent:
    """What several rounds or legs have spent together."""
    total: dict[str, Counter[str]] = {}
    for part in parts:
        for kind, counts in part.items():
            total.setdefault(kind, Counter()).update(counts)
    return {kind: dict(counts) for kind, counts in total.items()}


def _of_round(run: Run, recipe: Recipe, count_tokens: CountTokens) -> Spent:
    done = {name.partition("-")[2]: run.stage(name).result() for name in STAGES if run.is_done(name)}
    generated, trained, expert = {}, {}, {}
    if "rl" in done:
        rows = [row["values"] for row in run.metrics("rl")]
        size = recipe.rl.group_size
        generated["rl"] = sum(round(row["length"] * row["groups_sampled"] * size) for row in rows)
        trained["rl"] = sum(int(row.get("tokens_trained", 0)) for row in rows)
    if "diagnose" in done:
        generated["diagnose"] = _tokens(run.stage("diagnose").path / JOURNAL)
    if "expert" in done:
        expert = _expert(run, done["expert"], recipe, count_tokens)
    if "sft" in done:
        curves = [f"sft-{stage.name}" for stage in recipe.sft.stages]
        trained["sft"] = sum(int(row["values"]["tokens"]) for curve in curves for row in run.metrics(curve))
    seconds = {stage: result["seconds"] for stage, result in done.items()}
    return {"generated": generated, "trained": trained, "seconds": seconds, "expert": expert}


def _tokens(journal: Path) -> int:
    """Of each sample once: what a kill had done twice is not what it costs."""
    rows = stream_jsonl(journal) if journal.exists() else ()
    found = {(row["problem_id"], row["sample"]): len(row["tokens"]) for _, row in rows}
    return sum(found.values())


def _expert(run: Run, result: Mapping[str, Any], recipe: Recipe, count_tokens: CountTokens) -> dict[str, Any]:
    kept = {row["problem_id"]: row["text"] for row in read_jsonl(run.stage("expert").path / JOURNAL)}
    problems = {problem.id: problem for problem in load_problems(run.path / "problems" / "train.jsonl")}
    stages = [stage for stage in recipe.sft.stages if "expert" in stage.data]
    taught = sum(any(wants(stage, problems[key]) for stage in stages) for key in kept)
    said = result["experts"].values()
    free = sum(each["kept"] + sum(each["refused"].values()) for each in said if "calls" not in each)
    written = sum(count_tokens(text) for text in kept.values())
    return {
        "asked": result["counts"]["asked"],
        "calls": free + sum(each.get("calls", 0) for each in said),
        "traces": len(kept),
        "taught": taught,
        "tokens": sum(each.get("prompt_tokens", 0) + each.get("completion_tokens", 0) for each in said) or written,
        "money": sum(each.get("cost", 0.0) for each in said),
    }
