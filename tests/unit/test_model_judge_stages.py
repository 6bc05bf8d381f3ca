"""Where the model judge is heard: diagnosis, expert verification and evaluation, and not in RL."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from diagnosing import FakeBench, FakeShop, completion
from expert_shop import Shop, endpoint
from scripted_chat import ChatServer, said
from scripted_server import Act, Call, ScriptedServer

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.problems.dataset import ProblemSets
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import Recipe
from metis_rise.report.data import Summary
from metis_rise.report.text import judge_sentence
from metis_rise.run import Run, append_jsonl
from metis_rise.stages import diagnose, evaluate
from metis_rise.stages.dev import score_dev
from metis_rise.stages.journals import JOURNAL, read_trajectories
from metis_rise.stages.workshop import sample_judged
from metis_rise.types import AnswerType, Problem

PROBLEMS = [Problem(f"p{i}", f"Which angle is number {i}?", "an obtuse angle", AnswerType.TEXT) for i in range(3)]


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def agrees(call: Call) -> Act:
    return Act({"choices": [{"message": {"content": "EQUIVALENT"}}]})


def shop_for(folder: Path, server: ScriptedServer, **parts: object) -> FakeShop:
    """A workshop whose model never gives the gold answer."""
    given = {"judge": {"url": f"{server.url}/v1", "model": "referee-9"}, **parts}
    recipe = Recipe.model_validate({"name": "r", "problems": {"kind": "world"}, **given})
    sets = ProblemSets(PROBLEMS, PROBLEMS, PROBLEMS)
    shop = FakeShop(recipe, Run(folder), ImageStore(folder / "images"), sets, 100, None)
    object.__setattr__(shop, "fake", FakeBench(dict.fromkeys([problem.id for problem in PROBLEMS], 0.0)))
    return shop


def test_solve_rates_count_what_the_judge_takes_as_right(tmp_path: Path):
    with ScriptedServer(agrees) as server:
        shop = shop_for(tmp_path, server, diagnose={"samples": 2, "max_samples": 2})
        result = diagnose.run(shop)
        assert len(server.calls) == len(PROBLEMS)
    assert result["solve_rates"] == {problem.id: 1.0 for problem in PROBLEMS}
    for trajectories in read_trajectories(shop.run.stage("diagnose").path / JOURNAL).values():
        assert [t.verdict.reason.endswith("judge referee-9: equivalent") for t in trajectories if t.verdict] == [
            True,
            True,
        ]


def test_samples_reused_from_rl_are_put_to_the_judge_too(tmp_path: Path):
    with ScriptedServer(agrees) as server:
        reuse = {"samples": 2, "max_samples": 2, "reuse_rl": True}
        shop = shop_for(tmp_path, server, diagnose=reuse)
        request = Request(PROBLEMS[0], 2, SamplingParams(), 7)
        (group,) = sample_judged(shop.fake, [request], "rl")  # type: ignore[arg-type]
        rl = shop.run.stage("rl")
        rl.finish({"weights_version": 0})
        append_jsonl(rl.path / "trajectories-000001.jsonl", [t.to_json() for t in group.trajectories])
        result = diagnose.run(shop)
    assert result["sampling"]["reused"] == 2 and set(result["solve_rates"].values()) == {1.0}


def test_every_score_of_an_evaluation_names_the_judge(tmp_path: Path):
    with ScriptedServer(agrees) as server:
        arms = evaluate.run(shop_for(tmp_path, server))["arms"]
        assert len(server.calls) == len(PROBLEMS)
    scores = [score for modes in arms.values() for score in modes.values()]
    assert len(scores) == 6
    assert {(s["accuracy"], s["judge"], s["by_judge"]) for s in scores} == {(1.0, "referee-9", 3)}
    sentence = judge_sentence(Summary.from_json({"recipe": "r", "arms": arms}))
    assert sentence == "Judged with referee-9 beside the rules: 18 of 18 answers are right by its word alone."


def test_without_a_judge_scores_and_report_say_nothing_of_one(tmp_path: Path):
    with ScriptedServer(agrees) as server:
        arms = evaluate.run(shop_for(tmp_path, server, judge={}))["arms"]
        assert server.calls == []
    assert "judge" not in arms["rl"]["greedy"] and arms["rl"]["greedy"]["accuracy"] == 0.0
    assert judge_sentence(Summary.from_json({"recipe": "r", "arms": arms})) is None


def test_rl_and_its_dev_scores_never_ask(tmp_path: Path):
    with ScriptedServer(agrees) as server:
        shop = shop_for(tmp_path, server)
        (group,) = sample_judged(shop.fake, [Request(PROBLEMS[0], 4, SamplingParams(), 1)], "rl")  # type: ignore[arg-type]
        assert group.solve_rate == 0.0
        assert score_dev(shop, shop.fake, "rl-dev", 0) == 0.0  # type: ignore[arg-type]
        assert server.calls == []


class TextShop(Shop):
    def problem(self, index: int) -> Problem:
        return PROBLEMS[index]


@pytest.mark.parametrize(("reply", "kept", "dropped"), [("EQUIVALENT", 2, {}), ("DIFFERENT", 0, {"wrong answer": 2})])
def test_an_expert_may_say_it_in_other_words(tmp_path: Path, reply: str, kept: int, dropped: dict[str, int]):
    text = completion("wide", "It opens by more than a right angle. The answer is wide.")
    judge = Act({"choices": [{"message": {"content": reply}}]})
    with ChatServer(lambda call: said(text)) as expert, ScriptedServer(lambda call: judge) as server:
        named = [f"judge.url={server.url}/v1", "judge.model=referee-9"]
        shop = TextShop(tmp_path, [endpoint(expert.url)], named, count=2)
        found = shop.do()
        assert len(server.calls) == 2
    assert (found["counts"]["kept"], found["dropped"]) == (kept, dropped)
    for row in shop.rows(JOURNAL):
        assert row["verdict"]["reason"].endswith("judge referee-9: equivalent")
