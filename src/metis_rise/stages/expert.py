"""Stage 4: somebody who can solves the absent problems; every solution is verified before it is taught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from tqdm import tqdm

from metis_rise.run import write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.diagnose import JOURNAL, buckets
from metis_rise.stages.expert_endpoint import ask_endpoint
from metis_rise.stages.expert_sources import make_expert
from metis_rise.stages.lengths import token_counter
from metis_rise.stages.workshop import Workshop, judged
from metis_rise.types import Bucket, Problem, Trajectory
from metis_rise.verifier.equivalence import equivalent
from metis_rise.verifier.extract import extract


def run(shop: Workshop) -> dict[str, Any]:
    """Asks the expert about absent problems and keeps what the verifier and the chain checker accept."""
    config, labels = shop.recipe.expert, buckets(shop)
    absent = [p for p in shop.sets.train if labels[p.id] is Bucket.ABSENT]
    asked = absent
    if config.max_problems is not None and len(absent) > config.max_problems:
        chosen = Random(derive(shop.recipe.seed, "expert")).sample(range(len(absent)), config.max_problems)
        asked = [absent[i] for i in sorted(chosen)]
    dropped: Counter[str] = Counter()
    count_tokens = token_counter(shop.recipe.model.path)
    kept: list[Trajectory] = []
    for problem, texts in _solve(shop, asked):
        fault, trajectory = "no solution", None
        for text in texts:
            fault, trajectory = _verify(problem, text)
            if trajectory is not None and count_tokens(trajectory.text) > shop.max_tokens:
                fault, trajectory = "over sampling.max_tokens", None
            if trajectory is not None:
                break
        if trajectory is None:
            dropped[fault] += 1
        else:
            kept.append(trajectory)
    write_jsonl(shop.run.stage("expert").path / JOURNAL, (t.to_json() for t in kept))
    if asked and not kept:
        shop.run.warn(f"expert: none of {len(asked)} absent problems got a usable solution")
    return {
        "counts": {"problems": len(absent), "asked": len(asked), "kept": len(kept), "used": len(kept)},
        "dropped": dict(dropped),
    }


def _solve(shop: Workshop, problems: Sequence[Problem]) -> Iterator[tuple[Problem, Sequence[str]]]:
    """The expert's solutions of each problem, in the order of `problems`."""
    if shop.recipe.expert.source == "endpoint":
        answers = ask_endpoint(shop, problems)
        yield from ((problem, answers.get(problem.id, ())) for problem in problems)
        return
    expert = make_expert(shop.recipe)
    for problem in tqdm(problems, desc="expert", unit="problem", leave=False):
        text = expert.solve(problem)
        yield problem, () if text is None else (text,)


def _contradicts(problem: Problem, text: str) -> bool:
    """Whether the reasoning itself announces or boxes an answer other than the gold one.

    The gold answer behind a data set's own solution proves nothing of the solution.
    """
    found = extract(text.partition("</think>")[0], strict=False)
    if found.answer is None or found.rule not in ("text box", "announced"):
        return False
    return not equivalent(problem.answer, found.answer, problem.answer_type, problem.choices)[0]


def _verify(problem: Problem, text: str) -> tuple[str, Trajectory | None]:
    trajectory = judged(problem, Trajectory(problem.id, 0, text), "expert")
    verdict = trajectory.verdict
    assert verdict is not None
    if not verdict.well_formed:
        return "bad format", None
    if not verdict.correct:
        return "wrong answer", None
    if _contradicts(problem, text):
        return "reasoning announces another answer", None
    return ("chain wrong", None) if verdict.chain is False else ("", trajectory)
