"""Problems of the held-back families, from the pre-training split, and how the base fails at them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

from base_builder.forced import FORCED, continued
from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import build_messages
from metis_rise.problems.world.chain import Draft
from metis_rise.run import write_jsonl
from metis_rise.stages.journals import read_trajectories
from metis_rise.types import Group, Problem, StopReason, Trajectory
from metis_rise.verifier.judge import judge

_MAX_TOKENS = 80
_SAMPLES = 2
_DRAWS_PER_PROBLEM = 4


def held_back(per_kind: int, seed: int, store: ImageStore) -> list[Problem]:
    """Up to `per_kind` different problems of each family and level; the small ones have fewer."""
    found = []
    for family in world.HELD_BACK:
        for level in world.LEVELS:
            rng = Random(f"expert/{family}/{level}/{seed}")
            drawn: dict[tuple[str, str], Draft] = {}
            for draft in islice(world.drafts(family, level, "base", rng), per_kind * _DRAWS_PER_PROBLEM):
                if len(drawn) < per_kind:
                    drawn.setdefault((draft.question, draft.caption), draft)
            found += [
                world.make_problem(f"{family}-{level}-base-{seed}-{number:04d}", family, level, draft, store)
                for number, draft in enumerate(drawn.values())
            ]
    return found


def attempts_at(
    problems: list[Problem], base: Path, seed: int, store: ImageStore, journal: Path
) -> dict[str, list[Trajectory]]:
    """What the base in folder `base` says of each problem, by id; read from `journal` where it is there.

    Half of it begins as a chain does: so write policies that RL has taught to reason.
    """
    if not journal.exists():
        policy = Policy.load(base)

        def plain(problem: Problem) -> Prompt:
            return policy.encode(build_messages(problem, None), [store.open(key) for key in problem.images])

        def forced(problem: Problem) -> Prompt:
            return continued(plain(problem), policy.tokenizer.encode(FORCED, add_special_tokens=False))

        params = SamplingParams(max_tokens=_MAX_TOKENS)
        requests = [Request(problem, _SAMPLES, params, seed + i) for i, problem in enumerate(problems)]
        groups = ((FORCED, NativeEngine(policy, forced)), ("", NativeEngine(policy, plain)))
        said = [
            _judged(group, written, number * _SAMPLES)
            for number, (written, engine) in enumerate(groups)
            for group in engine.sample(requests)
        ]
        write_jsonl(journal, (trajectory.to_json() for some in said for trajectory in some))
    return read_trajectories(journal)


def _judged(group: Group, written: str, first: int) -> list[Trajectory]:
    found = []
    for number, said in enumerate(group.trajectories):
        text = written + said.text
        verdict = judge(group.problem, text, ended=said.stop is StopReason.EOS)
        made = Trajectory(group.problem.id, first + number, text, stop=said.stop)
        found.append(made.judged(verdict, "self", world.check_chain(group.problem, text)))
    return found
