"""The whole method with the shipped base, as a user runs it: in processes of its own, in an empty folder."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from micro import ENVIRONMENT, MICRO, command, ok, rise
from safetensors.torch import load_file

from metis_rise.run import STAGES, read_jsonl

OWN = ("rl.steps", "rl.checkpoint_every")
RL = ("rl.steps=6", "rl.checkpoint_every=2", *(setting for setting in MICRO if not setting.startswith(OWN)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with one finished run of the micro recipe, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, ok(folder, "run", "tiny", *MICRO)


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "runs" / "tiny" / "summary.json").read_text())


def test_every_stage_is_done_and_the_summary_has_its_contract(whole: tuple[Path, str]):
    folder, _ = whole
    assert all((folder / "runs" / "tiny" / stage / "DONE").exists() for stage in STAGES)
    found = summary(folder)
    assert found["recipe"] == "tiny"
    assert set(found["arms"]) == {"base", "rl", "rise"}
    for modes in found["arms"].values():
        assert set(modes) == {"greedy", "sampled"}
        for score in modes.values():
            assert score["n"] == 36 and len(score["families"]) == 6
            assert 0 <= score["low"] <= score["accuracy"] <= score["high"] <= 1
    assert set(found["seconds"]) == {"rl", "diagnose", "distill", "expert", "sft", "evaluate"}
    assert found["peak_memory_mb"] > 0


def test_the_terminal_shows_the_arms_and_the_report_is_there(whole: tuple[Path, str]):
    folder, printed = whole
    assert all(arm in printed for arm in ("base", "after RL", "after RISE"))
    assert "report.html" in printed
    page = (folder / "runs" / "tiny" / "report.html").read_text()
    assert "data:image/png;base64," in page


def test_a_finished_run_is_whole(whole: tuple[Path, str]):
    found = json.loads(ok(whole[0], "check", "runs/tiny", "--json"))
    assert (found["ok"], found["findings"], found["notes"], found["to_do"]) == (True, [], [], [])
    assert found["checked"]["stages"] == len(STAGES) and found["checked"]["checkpoints"] >= 2


def test_every_stage_did_real_work(whole: tuple[Path, str]):
    run = whole[0] / "runs" / "tiny"
    steps = [row for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == "rl"]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    trained = [row["values"] for row in steps if row["values"]["groups_kept"]]
    assert trained and all(values["grad_norm"] > 0 for values in trained)
    assert all(values["sampler_gap"] < 1e-4 for values in trained if values["groups_kept"] > values["carried"])
    buckets = json.loads((run / "2-diagnose" / "DONE").read_text())["buckets"]
    assert sum(buckets.values()) == 36 and buckets["absent"] > 0
    expert = read_jsonl(run / "4-expert" / "trajectories-0000.jsonl")
    assert expert and all(row["verdict"]["correct"] and row["verdict"]["chain"] for row in expert)
    rl, rise_model = (load_file(run / stage / "model" / "model.safetensors") for stage in ("1-rl", "5-sft"))
    moved = [name for name in rl if not rl[name].equal(rise_model[name])]
    assert moved and not any("visual" in name for name in moved)


def test_the_same_command_again_does_nothing_anew(whole: tuple[Path, str]):
    folder, _ = whole
    before = summary(folder)["arms"]
    weights = (folder / "runs" / "tiny" / "5-sft" / "model" / "model.safetensors").stat().st_mtime_ns
    printed = ok(folder, "run", "tiny", *MICRO)
    assert printed.count("done before") == len(STAGES)
    assert summary(folder)["arms"] == before
    assert (folder / "runs" / "tiny" / "5-sft" / "model" / "model.safetensors").stat().st_mtime_ns == weights


def test_another_recipe_is_refused_on_the_same_run(whole: tuple[Path, str]):
    done = rise(whole[0], "run", "tiny", *MICRO, "rl.clip_high=0.3")
    assert done.returncode == 2
    assert "rl.clip_high" in done.stderr and "--name" in done.stderr and "Traceback" not in done.stderr


def test_stages_run_alone_give_the_same_run(whole: tuple[Path, str], tmp_path: Path):
    """Killed between all stages, in effect: each in a process of its own."""
    early = rise(tmp_path, "sft", "tiny", *MICRO)
    assert early.returncode == 2 and "rise rl" in early.stderr
    for stage in ("rl", "diagnose", "distill", "expert", "sft", "eval"):
        ok(tmp_path, stage, "tiny", *MICRO)
    assert summary(tmp_path)["arms"] == summary(whole[0])["arms"]


def test_rl_killed_in_the_middle_ends_bit_identical(tmp_path: Path):
    ok(tmp_path, "rl", "tiny", *RL, "--name", "calm")
    journal = tmp_path / "runs" / "killed" / "metrics.jsonl"
    process = subprocess.Popen(
        command("rl", "tiny", *RL, "--name", "killed"), cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and len(steps(journal)) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert not (tmp_path / "runs" / "killed" / "1-rl" / "DONE").exists()
    assert "1-rl: goes on from checkpoint-" in ok(tmp_path, "check", "runs/killed")
    assert "going on from checkpoint-" in ok(tmp_path, "rl", "tiny", *RL, "--name", "killed")
    weights = [tmp_path / "runs" / name / "1-rl" / "model" / "model.safetensors" for name in ("calm", "killed")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert steps(journal) == steps(tmp_path / "runs" / "calm" / "metrics.jsonl")


def test_every_option_of_the_update_runs(tmp_path: Path):
    """KL with a reference model, ratios from the trainer, several updates per rollout, a closed filter band."""
    options = ("rl.kl_weight=0.1", "rl.old_logprobs=trainer", "rl.minibatches=2", "rl.loss_aggregation=constant")
    ok(tmp_path, "rl", "tiny", *MICRO, *options, "rl.filter_bounds=closed", "rl.advantage_scale=none")
    journal = tmp_path / "runs" / "tiny" / "metrics.jsonl"
    figures = [values for _, values in steps(journal) if values["groups_kept"]]
    assert len(figures) == 4 and all(values["groups_kept"] == 4 for values in figures)
    assert 0 <= figures[0]["kl"] < figures[-1]["kl"]
    assert figures[0]["sampler_gap"] < 1e-4


def test_adapters_recomputed_layers_and_another_objective_run(tmp_path: Path):
    """LoRA, whose base is the reference of the KL penalty, through RL and both SFT stages to the merged models."""
    options = ("model.lora.rank=4", "rl.kl_weight=0.1", "model.gradient_checkpointing=true", "rl.objective=gspo")
    ok(tmp_path, "run", "tiny", *MICRO, *options, "rl.minibatches=2", "rl.micro_tokens=150")
    run = tmp_path / "runs" / "tiny"
    figures = [values for _, values in steps(run / "metrics.jsonl") if values["groups_kept"]]
    assert 0 <= figures[0]["kl"] < figures[-1]["kl"]
    assert all(values["tokens_forwarded"] == values["tokens_unique"] < values["tokens_repeated"] for values in figures)
    log = (run / "log.txt").read_text()
    assert "attention of packed rows: cascade" in log and "objective gspo" in log
    shapes = [
        {name: tuple(value.shape) for name, value in load_file(run / stage / "model" / "model.safetensors").items()}
        for stage in ("1-rl", "5-sft")
    ]
    assert shapes[0] == shapes[1] and not any("lora" in name for name in shapes[0])


def test_a_budget_that_no_prompt_fits_is_told_before_any_step_and_can_be_raised(tmp_path: Path):
    done = rise(tmp_path, "rl", "tiny", *MICRO, "rl.micro_tokens=90")
    said = re.search(
        r"rl.micro_tokens = 90: problem '.*' has a prompt of \d+ tokens.*set rl.micro_tokens=(\d+)", done.stderr
    )
    assert done.returncode == 2 and said is not None, done.stderr
    journal = tmp_path / "runs" / "tiny" / "metrics.jsonl"
    assert steps(journal) == []
    ok(tmp_path, "rl", "tiny", *MICRO, f"rl.micro_tokens={said[1]}")
    assert len(steps(journal)) == 4
    assert f"goes on with rl.micro_tokens = {said[1]} (was 90)" in (tmp_path / "runs" / "tiny" / "log.txt").read_text()


@pytest.mark.parametrize("options", [(), ("--fresh", "--yes")])
def test_a_folder_that_is_no_run_is_left_alone(options: tuple[str, ...], tmp_path: Path):
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "thesis.tex").write_text("mine")
    done = rise(tmp_path, "run", "tiny", *MICRO, *options)
    assert done.returncode == 2 and "not a run folder" in done.stderr
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["tiny"]
    assert (tmp_path / "runs" / "tiny" / "thesis.tex").read_text() == "mine"


def test_a_damaged_run_is_not_replaced(whole: tuple[Path, str], tmp_path: Path):
    run = tmp_path / "runs" / "tiny"
    shutil.copytree(whole[0] / "runs" / "tiny", run)
    (run / "problems" / "dev.jsonl").unlink()
    done = rise(tmp_path, "run", "tiny", *MICRO)
    assert done.returncode == 2 and "dev.jsonl" in done.stderr
    assert (run / "5-sft" / "model" / "model.safetensors").exists()


def steps(journal: Path) -> list[tuple[int, dict[str, float]]]:
    """RL steps with all figures but times, and how often the vision tower ran: after a kill its cache is empty."""
    moving = ("seconds", "tokens_per_second", "waiting", "data_waiting", "images_encoded")
    if not journal.exists():
        return []
    return [
        (row["step"], {k: v for k, v in row["values"].items() if k not in moving})
        for row in read_jsonl(journal)
        if row["stage"] == "rl"
    ]
