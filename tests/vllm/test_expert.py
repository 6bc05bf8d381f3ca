"""A real vLLM server, asked as an expert: what it is sent arrives, what it says is verified, counted and journaled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from setting import World
from vllm_server import Server

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.problems.world import KNOWN
from metis_rise.recipe.expert import ExpertConfig
from metis_rise.run import read_jsonl
from metis_rise.stages.experts.acceptance import CUT_OFF, Examiner
from metis_rise.stages.experts.files import read_files
from metis_rise.stages.experts.session import Session
from metis_rise.stages.experts.solving import Outcome
from metis_rise.types import Problem, StopReason

pytestmark = pytest.mark.vllm
NOBODY = "http://127.0.0.1:9"
MAX_TOKENS = 160


def config_of(url: str, **more: Any) -> ExpertConfig:
    entry = {"name": "vlm", "url": f"{url}/v1", "model": "tiny", "max_tokens": MAX_TOKENS, "temperatures": [0.0]}
    asked = {"template": "brief", "system": None, "knowledge": ["hints"]}
    return ExpertConfig.model_validate({"experts": [entry | more], **asked})


class Asked:
    """The outcomes of problems by id, the journal's rows but for the picture that is shown first, and the prompts."""

    def __init__(self, config: ExpertConfig, world: World, policy: Policy, problems: list[Problem], journal: Path):
        examine = Examiner(lambda text: len(policy.tokenizer.encode(text)), MAX_TOKENS, lambda _, made: made)
        with Session(config, read_files(config), {}, world.store, journal, print) as session:
            self.notes = session.check(problems)
            self.outcomes: dict[str, Outcome] = {o.problem.id: o for o in session.solve(problems, examine)}
            self.questions = {problem.id: session.questions(problem) for problem in problems}
        self.rows = [row for row in read_jsonl(journal) if row["problem"]] if journal.exists() else []

    def prompt(self, world: World, policy: Policy, problem: Problem) -> Prompt:
        """The question about `problem` as the native engine reads it."""
        question = self.questions[problem.id]
        return policy.encode(list(question.messages), [world.store.open(key) for key in question.images])


@pytest.fixture
def problems(world: World) -> list[Problem]:
    """Six with a picture and a few without."""
    pictured = [problem for problem in world.problems if problem.images and problem.family in KNOWN]
    return [*pictured[:6], *(problem for problem in world.problems if not problem.images)][:8]


def test_questions_and_pictures_arrive_and_greedy_replies_are_those_of_the_native_engine(
    base: Server, world: World, policy: Policy, problems: list[Problem], tmp_path: Path
):
    asked = Asked(config_of(base.url), world, policy, problems, tmp_path / "answers.jsonl")
    assert asked.notes == []
    engine = NativeEngine(policy, lambda problem: asked.prompt(world, policy, problem))
    params = SamplingParams(temperature=0.0, max_tokens=MAX_TOKENS)
    native = {g.problem.id: g.trajectories[0] for g in engine.sample([Request(p, 1, params, 0) for p in problems])}
    assert len(asked.rows) == len(problems)
    for row in asked.rows:
        expected = native[row["problem"]]
        assert row["answers"] == [[expected.text, expected.stop is StopReason.EOS]]
        assert row["completion_tokens"] == len(expected.tokens)
        problem = asked.outcomes[row["problem"]].problem
        assert row["prompt_tokens"] == len(asked.prompt(world, policy, problem).input_ids), "pictures included"
        assert row["pictures"] == len(problem.images)


def test_refusals_are_counted_and_a_problem_is_asked_until_one_is_taken(
    base: Server, world: World, policy: Policy, problems: list[Problem], tmp_path: Path
):
    config = config_of(base.url, temperatures=[0.0, 1.0], samples=1)
    asked = Asked(config, world, policy, problems, tmp_path / "answers.jsonl")
    for outcome in asked.outcomes.values():
        rows = [row for row in asked.rows if row["problem"] == outcome.problem.id]
        kept = outcome.trajectory is not None
        assert sorted(row["attempt"] for row in rows) == list(range(outcome.attempt + 1 if kept else 2))
        assert outcome.refused["vlm"].total() == len(rows) - kept
        assert kept == (not outcome.fault)


def test_samples_temperature_and_the_longest_answer_arrive(
    base: Server, world: World, policy: Policy, problems: list[Problem], tmp_path: Path
):
    config = config_of(base.url, temperatures=[1.0], samples=4, max_tokens=8)
    asked = Asked(config, world, policy, problems, tmp_path / "answers.jsonl")
    assert all(len(row["answers"]) == 4 for row in asked.rows)
    assert any(len({text for text, _ in row["answers"]}) > 1 for row in asked.rows)
    assert max(row["completion_tokens"] for row in asked.rows) == 4 * 8
    refused = [outcome.refused["vlm"] for outcome in asked.outcomes.values()]
    assert sum(counted[CUT_OFF] for counted in refused) == sum(not w for row in asked.rows for _, w in row["answers"])


def test_what_the_journal_holds_is_not_asked_again(
    base: Server, world: World, policy: Policy, problems: list[Problem], tmp_path: Path
):
    journal = tmp_path / "answers.jsonl"
    first = Asked(config_of(base.url, temperatures=[0.0, 1.0]), world, policy, problems, journal)
    again = Asked(config_of(NOBODY, temperatures=[0.0, 1.0]), world, policy, problems, journal)
    assert again.notes, "nobody is there"
    assert again.outcomes == first.outcomes
    assert again.rows == first.rows
