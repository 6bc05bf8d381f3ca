"""How good the tiny expert is, told of one thing or another: measured on dev problems in process."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from base_builder.attempts import attempts_at
from base_builder.seminar import config_of
from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.recipe.expert import Knowledge
from metis_rise.stages.experts.files import read_files
from metis_rise.stages.experts.question import Questions
from metis_rise.types import Problem, StopReason
from metis_rise.verifier.judge import judge

_PER_LEVEL = 18
_SAMPLES = 4
_MAX_TOKENS = 80
_ARMS: dict[str, tuple[Knowledge, ...]] = {
    "blind": (),
    "hints": ("hints",),
    "reference answer": ("reference_answer",),
    "failed attempts": ("failed_attempts",),
    "hints, answer, attempts": ("hints", "reference_answer", "failed_attempts"),
}


def measure(folder: Path, base: Path, seed: int, work: Path) -> dict[str, dict[str, float]]:
    """Shares (0 to 1) of right and well-formed replies, by arm and family; attempts are those of the base."""
    store = ImageStore(work / "images")
    made = world.make_problems("dev", _PER_LEVEL, seed, store)
    problems = [problem for problem in made if problem.family in world.HELD_BACK]
    attempts = attempts_at(problems, base, seed, store, work / "dev-attempts.jsonl")
    policy = Policy.load(folder)
    found = {}
    for arm, told in _ARMS.items():
        config = config_of(told)
        questions = Questions(config, read_files(config), attempts, store)
        greedy, sampled = SamplingParams(0.0, max_tokens=_MAX_TOKENS), SamplingParams(max_tokens=_MAX_TOKENS)
        found[f"{arm}, greedy"] = _rates(policy, questions, store, problems, greedy, 1)
        found[f"{arm}, sampled"] = _rates(policy, questions, store, problems, sampled, _SAMPLES)
    return found


def _rates(
    policy: Policy, questions: Questions, store: ImageStore, problems: list[Problem], params: SamplingParams, n: int
) -> dict[str, float]:
    def encode(problem: Problem) -> Prompt:
        asked = questions(problem)
        return policy.encode(list(asked.messages), [store.open(key) for key in asked.images])

    right: dict[str, list[bool]] = defaultdict(list)
    requests = [Request(problem, n, params, seed=i) for i, problem in enumerate(problems)]
    for group in NativeEngine(policy, encode).sample(requests):
        verdicts = [judge(group.problem, t.text, ended=t.stop is StopReason.EOS).strict for t in group.trajectories]
        right[group.problem.family] += verdicts
        right["all"] += verdicts
    return {family: sum(verdicts) / len(verdicts) for family, verdicts in right.items()}
