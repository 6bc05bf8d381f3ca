"""An arm's model on problems that nothing was chosen by: greedy and sampled, and how its wrong answers are wrong."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from metis_rise.ablation.results import packed
from metis_rise.engines.base import Request, SamplingParams
from metis_rise.journal import parse_object
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world import FAMILIES, SOURCE
from metis_rise.problems.world.unseen import unseen_level, unseen_light
from metis_rise.run import write_atomic, write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.model_judge import settled
from metis_rise.stages.workshop import Bench, Workshop, sample_whole
from metis_rise.types import Group, Problem, StopReason, Trajectory

GREEDY, SAMPLED = "greedy", "sampled"
MODES = (GREEDY, SAMPLED)
# What is scored: the test problems, longer ones, and the test problems in another light; or dev, to tune.
TEST, LEVEL, LIGHT, DEV = "test", "unseen level", "unseen light", "dev"
_SEES_WRONG = ("the picture does not show", "is used before it is read")

Scores = dict[str, dict[str, dict[str, Any]]]


def score(shop: Workshop, model: Path, folder: Path, *, on: str, samples: int) -> Scores:
    """Scores by split and mode; what `folder` holds of them is not computed again.

    Args:
        shop: a run with the arm's problems.
        model: the arm's model.
        folder: what was answered is kept there.
        on: `test`, with the splits that are outside of what was trained on, or `dev`.
        samples: how many sampled answers a problem gets.
    """
    scores: Scores = {}
    counts = {GREEDY: 1, SAMPLED: samples}
    for split, (place, problems) in _splits(shop, folder, on).items():
        files = {mode: folder / f"{split.replace(' ', '-')}-{mode}-{count}.json" for mode, count in counts.items()}
        missing = {mode: file for mode, file in files.items() if not file.exists()}
        if missing:
            with closing(place.bench(model)) as bench:
                for mode, file in missing.items():
                    _answer(place, bench, problems, mode, counts[mode], file)
        scores[split] = {mode: parse_object(file.read_bytes()) or {} for mode, file in files.items()}
    return scores


def _splits(shop: Workshop, folder: Path, on: str) -> dict[str, tuple[Workshop, Sequence[Problem]]]:
    if on == DEV:
        return {DEV: (shop, shop.sets.dev)}
    splits: dict[str, tuple[Workshop, Sequence[Problem]]] = {TEST: (shop, shop.sets.test)}
    if shop.recipe.problems.kind == "world":
        world, store = shop.recipe.problems.world, ImageStore(folder.parent / "images")
        elsewhere = replace(shop, store=store)
        longer = unseen_level(world.levels, world.test_per_level, world.seed, store)
        first = [problem for problem in shop.sets.test if problem.source == SOURCE]
        darker = unseen_light(first[: world.test_per_level * len(FAMILIES)], shop.store, store)
        splits |= {LEVEL: (elsewhere, longer), LIGHT: (elsewhere, darker)}
    return splits


def _answer(shop: Workshop, bench: Bench, problems: Sequence[Problem], mode: str, count: int, file: Path) -> None:
    params = shop.greedy if mode == GREEDY else shop.sampled
    groups = _groups(shop, bench, problems, params, count, file.stem)
    rows = [replace(t, tokens=(), logprobs=()).to_json() for group in groups for t in group.trajectories]
    write_jsonl(file.with_suffix(".jsonl"), rows)
    write_atomic(file, json.dumps(summary(groups, drawn=mode == SAMPLED), ensure_ascii=False) + "\n")


def _groups(
    shop: Workshop, bench: Bench, problems: Sequence[Problem], params: SamplingParams, count: int, said: str
) -> list[Group]:
    """The answers in the order of the problems; the draws are the same for every arm of a seed."""
    requests = [Request(p, count, params, derive(shop.recipe.seed, "evaluate", p.id)) for p in problems]
    answered = settled(shop.recipe, shop.run, sample_whole(bench, requests, "arm", said))
    found = {group.problem.id: group for group in answered}
    return [found[problem.id] for problem in problems]


def summary(groups: Sequence[Group], *, drawn: bool) -> dict[str, Any]:
    """What a results file keeps of answers: enough for paired tests, pass@k, and to see what kind of errors are made.

    `entropy` is the mean of -log p of the tokens, in nats: where they were `drawn`, at temperature 1, an unbiased
    estimate of it.
    """
    samples = len(groups[0].trajectories)
    counts = [sum(t.strict for t in group.trajectories) for group in groups]
    answers = [(group.problem, t) for group in groups for t in group.trajectories]
    logprobs = [value for _, t in answers for value in t.logprobs] if drawn else []
    return {
        "n": len(groups),
        "samples": samples,
        "accuracy": sum(counts) / (samples * len(groups)),
        "families": _shares(groups, lambda problem: problem.family),
        "levels": _shares(groups, lambda problem: str(problem.level)),
        "kinds": dict(Counter(kind(t) for _, t in answers)),
        "tokens": sum(len(t.tokens) for _, t in answers) / len(answers),
        "entropy": -sum(logprobs) / len(logprobs) if logprobs else None,
        "problems": hashlib.sha256("\n".join(group.problem.id for group in groups).encode()).hexdigest()[:12],
        "right": packed(counts, samples),
        "by_family": _by_family(groups, counts, samples),
    }


def _by_family(groups: Sequence[Group], counts: Sequence[int], samples: int) -> dict[str, dict[str, Any]]:
    """How many problems each family has, and what of them is right, in their order."""
    found: dict[str, list[int]] = {}
    for group, count in zip(groups, counts, strict=True):
        found.setdefault(group.problem.family, []).append(count)
    return {name: {"n": len(rights), "right": packed(rights, samples)} for name, rights in found.items()}


def _shares(groups: Sequence[Group], of: Callable[[Problem], str]) -> Mapping[str, float]:
    found: dict[str, list[float]] = {}
    for group in groups:
        found.setdefault(of(group.problem), []).append(group.solve_rate)
    return {name: sum(rates) / len(rates) for name, rates in found.items()}


def kind(answer: Trajectory) -> str:
    """What an answer is: right, lucky (right behind a chain that does not hold), or by what it went wrong.

    perception: the chain reads what the picture does not show, or does not read what it uses. reasoning: it reads
    right and takes a wrong step. conclusion: the chain holds and the answer is not its result.
    """
    verdict = answer.verdict
    assert verdict is not None, "scored answers are judged"
    if answer.stop is StopReason.LENGTH:
        return "cut off"
    if not verdict.well_formed:
        return "format"
    if verdict.correct:
        return "lucky" if verdict.chain is False else "right"
    if verdict.chain is None:
        return "wrong"
    if verdict.chain:
        return "conclusion"
    if "I think it is" in answer.text:
        return "guess"
    return "perception" if any(words in verdict.reason for words in _SEES_WRONG) else "reasoning"
