"""What a run has spent, of a folder whose figures are made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_rise.ablation.counting import joined, spent
from metis_rise.problems.reader import dump_problems
from metis_rise.recipe import Recipe, load_recipe, resolved
from metis_rise.run import Run, append_jsonl, write_jsonl
from metis_rise.types import AnswerType, Problem, Trajectory

STAGES = "[{name: own, data: [self]}, {name: expert, data: [expert], modality: image}]"
WORLD = {"world": {"kept": 2, "refused": {"wrong answer": 1}}}
PAID = {"big": {"kept": 2, "refused": {}, "calls": 5, "prompt_tokens": 70, "completion_tokens": 30, "cost": 0.25}}


def recipe(*overrides: str) -> Recipe:
    return load_recipe("evidence", ["rl.group_size=4", f"sft.stages={STAGES}", *overrides])


def make(root: Path, made: Recipe, experts: dict[str, object] = WORLD) -> Path:
    """A run whose rounds are all alike, done up to SFT."""
    run = Run.open(root, "run", resolved(made))
    seen = Problem("seen", "q", "1", AnswerType.NUMBER, images=("a" * 64,))
    told = Problem("told", "q", "1", AnswerType.NUMBER)
    dump_problems([seen, told], run.path / "problems" / "train.jsonl")
    for turn in (run.in_round(number + 1) for number in range(made.rounds)):
        for step in (1, 2):
            turn.metric("rl", step, {"length": 10.5, "groups_sampled": 3, "tokens_trained": 50})
        turn.metric("rl", 3, {"length": 10.0, "groups_sampled": 1})
        turn.stage("rl").finish({"seconds": 2.0})
        rows = [Trajectory("seen", n, "text", (1,) * 7).to_json() for n in range(3)]
        append_jsonl(turn.stage("diagnose").path / "trajectories-0000.jsonl", rows)
        turn.stage("diagnose").finish({"seconds": 1.0})
        taught = [Trajectory(key, 0, "six or so").to_json() for key in ("seen", "told")]
        write_jsonl(turn.stage("expert").path / "trajectories-0000.jsonl", taught)
        turn.stage("expert").finish({"seconds": 0.5, "counts": {"asked": 3}, "experts": experts})
        for step in (1, 2):
            turn.metric("sft-own", step, {"tokens": 20})
            turn.metric("sft-expert", step, {"tokens": 30})
        turn.stage("sft").finish({"seconds": 4.0})
    return run.path


def test_tokens_and_traces_are_counted_by_stage(tmp_path: Path):
    made = recipe()
    found = spent(make(tmp_path, made), made, len)
    assert found["generated"] == {"rl": 2 * 126 + 40, "diagnose": 21}
    assert found["trained"] == {"rl": 100, "sft": 100}
    assert found["seconds"] == {"rl": 2.0, "diagnose": 1.0, "expert": 0.5, "sft": 4.0}
    assert found["expert"] == {"asked": 3, "calls": 3, "traces": 2, "taught": 1, "tokens": 18, "money": 0.0}


def test_what_endpoints_count_is_taken_from_them(tmp_path: Path):
    made = recipe()
    found = spent(make(tmp_path, made, PAID), made, len)["expert"]
    assert found == {"asked": 3, "calls": 5, "traces": 2, "taught": 1, "tokens": 100, "money": 0.25}


def test_rounds_and_legs_add_up(tmp_path: Path):
    made = recipe("rounds=2")
    found = spent(make(tmp_path, made), made, len)
    assert found["generated"] == {"rl": 584, "diagnose": 42} and found["expert"]["traces"] == 4
    both = joined([found, {"generated": {"rl": 6}, "trained": {}, "seconds": {}, "expert": {}}])
    assert both["generated"] == {"rl": 590, "diagnose": 42} and both["trained"] == found["trained"]


def test_a_sample_that_a_kill_had_done_twice_counts_once(tmp_path: Path):
    made = recipe()
    path = make(tmp_path, made)
    append_jsonl(path / "2-diagnose" / "trajectories-0000.jsonl", [Trajectory("seen", 2, "text", (1,) * 7).to_json()])
    assert spent(path, made, len)["generated"]["diagnose"] == 21


@pytest.mark.parametrize("stage", ["diagnose", "expert", "sft"])
def test_stages_that_are_not_done_count_for_nothing(tmp_path: Path, stage: str):
    made = recipe()
    path = make(tmp_path, made)
    for name in ("diagnose", "expert", "sft")[("diagnose", "expert", "sft").index(stage) :]:
        (Run(path).stage(name).path / "DONE").unlink()
    found = spent(path, made, len)
    assert stage not in found["seconds"] and ("sft" in found["trained"]) is False
    assert (found["expert"] == {}) == (stage != "sft") and ("diagnose" in found["generated"]) == (stage != "diagnose")
