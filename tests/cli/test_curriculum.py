"""The curriculum as a user runs it: what a stage selects, what is rolled back, and several rounds."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from micro import ENVIRONMENT, MICRO, command, ok, rise
from safetensors.torch import load_file

from metis_rise import pipeline
from metis_rise.policy.model import Policy
from metis_rise.recipe import load_recipe
from metis_rise.run import STAGES, read_jsonl

NO_RL = tuple(setting for setting in MICRO if not setting.startswith(("rl.steps", "rl.eval_problems")))
# Enough dev problems to see a model destroyed, and no RL worth the name.
ROLLED = ("rl.steps=1", "rl.eval_problems=72", "problems.world.dev_per_level=4", *NO_RL)
TWO_ROUNDS = (
    "rounds=2",
    "rl.steps=2",
    "rl.keep_checkpoints=9",
    *(setting for setting in MICRO if not setting.startswith("rl.steps")),
)


def done(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "DONE").read_text())


def test_a_stage_that_ruins_the_model_is_rolled_back_and_ends_the_curriculum(tmp_path: Path):
    printed = ok(tmp_path, "run", "tiny", *ROLLED, "sft.stages.0.learning_rate=0.3", "sft.stages.0.epochs=4")
    assert "sft: ROLLED BACK: after stage self" in printed and "the RL model is taken" in printed
    run = tmp_path / "runs" / "tiny"
    result = done(run / "5-sft")
    assert [stage["name"] for stage in result["stages"]] == ["self"] and result["stages"][0]["rolled_back"]
    assert result["taken"] == "the RL model"
    scores = {(row["stage"], row["step"]): row["values"] for row in read_jsonl(run / "metrics.jsonl")}
    best = done(run / "1-rl")["best_step"]
    assert scores["sft-dev", 0] == scores["rl-dev", best] != scores["sft-dev", 1]
    rl, final = (load_file(run / stage / "model" / "model.safetensors") for stage in ("1-rl", "5-sft"))
    assert all(rl[name].equal(final[name]) for name in rl)
    # The very same ruin, asked to go on, is what ends up in the model.
    ok(tmp_path, "run", "tiny", "--name", "on", *ROLLED, "sft.stages.0.learning_rate=0.3", "sft.roll_back=false")
    result = done(tmp_path / "runs" / "on" / "5-sft")
    assert [stage["name"] for stage in result["stages"]] == ["self", "expert"]
    assert result["taken"] == "stage expert"


def test_a_selection_that_nothing_passes_is_refused_before_the_run_exists(tmp_path: Path):
    failed = rise(tmp_path, "run", "tiny", *MICRO, 'sft.stages.1.families=["bar"]')
    assert failed.returncode == 2
    assert "sft.stages.1 (expert): no training problem has families = bar; there are families: angle, bars" in (
        failed.stderr
    )
    assert not (tmp_path / "runs" / "tiny").exists()


def test_a_kill_between_scoring_a_stage_and_saving_it_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ok(tmp_path, "run", "tiny", *MICRO)
    whole, killed = (tmp_path / root / "tiny" for root in ("runs", "killed"))
    shutil.copytree(whole, killed)
    for stage in ("5-sft", "6-evaluate"):
        shutil.rmtree(killed / stage)
    save = Policy.save

    def dies(policy: Policy, folder: Path) -> None:
        if folder.name == "model-expert":
            raise KeyboardInterrupt
        save(policy, folder)

    recipe = load_recipe("tiny", MICRO)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Policy, "save", dies)
        pipeline.run_stage(recipe, killed.parent, "tiny", "sft")
    assert [path.name for path in (killed / "5-sft").iterdir()] == ["model-self"]
    assert scores(killed, "sft-dev") == scores(whole, "sft-dev"), "the stage that is lost was scored"
    pipeline.run_stage(recipe, killed.parent, "tiny", "sft")
    for curve in ("sft-dev", "sft-self", "sft-expert", "sft-expert-heldout"):
        assert scores(killed, curve) == scores(whole, curve)
    models = [load_file(run / "5-sft" / "model" / "model.safetensors") for run in (whole, killed)]
    assert all(models[0][name].equal(models[1][name]) for name in models[0])
    results = [done(run / "5-sft") | {"seconds": 0} for run in (whole, killed)]
    assert results[0] == results[1]


def scores(run: Path, curve: str) -> list[tuple[int, dict[str, float]]]:
    """The rows of a curve without what a clock says."""
    rows = [row for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == curve]
    return [(row["step"], {**row["values"], "seconds": 0.0, "data_waiting": 0.0}) for row in rows]


def test_two_rounds_go_on_from_each_other_and_resume_after_a_kill(tmp_path: Path):
    whole = tmp_path / "whole"
    whole.mkdir()
    ok(whole, "run", "tiny", *TWO_ROUNDS)
    run = whole / "runs" / "tiny"
    round_stages = [stage for stage in STAGES if not stage.startswith("6")]
    assert all((run / "round-2" / stage / "DONE").exists() for stage in round_stages)
    assert (run / "6-evaluate" / "DONE").exists() and not (run / "round-2" / "6-evaluate").exists()
    steps = {row["stage"]: row["step"] for row in read_jsonl(run / "metrics.jsonl")}
    assert steps["rl"] == steps["round-2/rl"] == 2
    summary = json.loads((run / "summary.json").read_text())
    assert set(summary["arms"]) == {"base", "rl", "rise"} and "round-2/sft" in summary["seconds"]
    after_first, start = (
        load_file(path / "model" / "model.safetensors") for path in (run / "5-sft", run / "round-2/1-rl/checkpoint-0")
    )
    assert all(after_first[name].equal(start[name]) for name in start)

    killed = tmp_path / "killed"
    killed.mkdir()
    process = subprocess.Popen(command("run", "tiny", *TWO_ROUNDS), cwd=killed, env=ENVIRONMENT)
    marker = killed / "runs" / "tiny" / "round-2" / "1-rl" / "checkpoint-1" / "COMPLETE"
    deadline = time.monotonic() + 900
    while not marker.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert marker.exists() and not (killed / "runs" / "tiny" / "6-evaluate" / "DONE").exists()
    ok(killed, "run", "tiny", *TWO_ROUNDS)
    models = [
        load_file(folder / "runs" / "tiny" / "round-2" / "5-sft" / "model" / "model.safetensors")
        for folder in (whole, killed)
    ]
    assert all(models[0][name].equal(models[1][name]) for name in models[0])
