"""A run that is asked to stop ends with its step kept, and goes on as if nothing had been; two never work on one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from micro import ENVIRONMENT, MICRO, command, ok, rise

from metis_rise import pipeline
from metis_rise.lock import locked
from metis_rise.recipe import load_recipe
from metis_rise.run import Run, read_jsonl
from metis_rise.stopping import heeding_signals

OWN = ("rl.steps", "rl.checkpoint_every", "rl.eval_every", "sft.stages")
REST = tuple(setting for setting in MICRO if not setting.startswith(OWN))
# No checkpoint but the first and the last, and no score on the way.
RL = ("rl.steps=6", "rl.checkpoint_every=99", "rl.eval_every=99", *REST)
SFT = ("rl.steps=1", "sft.stages.0.epochs=2", "sft.stages.0.batch_size=4", "sft.stages.1.epochs=1", *REST)
CLOCKS = ("seconds", "tokens_per_second", "waiting", "data_waiting", "images_encoded")


def curve(run: Path, name: str) -> list[tuple[int, dict[str, float]]]:
    """The rows of a curve without what a clock or a cache says."""
    rows = [row for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == name]
    return [(row["step"], {key: value for key, value in row["values"].items() if key not in CLOCKS}) for row in rows]


def same_model(runs: tuple[Path, Path], stage: str) -> bool:
    first, second = ((run / stage / "model" / "model.safetensors").read_bytes() for run in runs)
    return first == second


def test_rl_that_is_told_to_end_keeps_its_step_and_ends_bit_identical(tmp_path: Path):
    ok(tmp_path, "rl", "tiny", *RL, "--name", "calm")
    calm, stopped = (tmp_path / "runs" / name for name in ("calm", "stopped"))
    process = subprocess.Popen(
        command("rl", "tiny", *RL, "--name", "stopped"),
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < end:
        if (stopped / "metrics.jsonl").exists() and curve(stopped, "rl"):
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 130, said
    assert "interrupt again to stop at once" in said and "resume with: " in said and "Traceback" not in said
    (step,) = {int(path.name.partition("-")[2]) for path in (stopped / "1-rl").glob("checkpoint-*")} - {0}
    assert step == curve(stopped, "rl")[-1][0] < 6
    assert not (tmp_path / "runs" / ".stopped.lock").exists()
    assert f"going on from checkpoint-{step}" in ok(tmp_path, "rl", "tiny", *RL, "--name", "stopped")
    assert same_model((calm, stopped), "1-rl") and curve(calm, "rl") == curve(stopped, "rl")
    assert [path.name for path in sorted((stopped / "logs").iterdir())] == ["0001.txt", "0002.txt"]
    assert "WARNING interrupted" in (stopped / "logs" / "0001.txt").read_text()


def test_sft_stopped_within_an_epoch_and_at_its_end_ends_bit_identical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = load_recipe("tiny", SFT)
    whole, stopped = (tmp_path / root / "tiny" for root in ("whole", "stopped"))
    for stage in ("rl", "diagnose", "distill", "expert"):
        pipeline.run_stage(recipe, whole.parent, "tiny", stage)
    shutil.copytree(whole, stopped)
    pipeline.run_stage(recipe, whole.parent, "tiny", "sft")
    steps = len(curve(whole, "sft-self"))
    assert steps >= 4, "too few steps to stop in"
    metric, asked = Run.metric, {1, steps // 2, steps}

    def told_to_end(run: Run, stage: str, step: int, values: Mapping[str, float]) -> None:
        metric(run, stage, step, values)
        if stage == "sft-self" and step in asked:
            asked.remove(step)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Run, "metric", told_to_end)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), heeding_signals():
            pipeline.run_stage(recipe, stopped.parent, "tiny", "sft")
        assert not (stopped / "5-sft" / "model-self").exists()
    assert asked == set()
    pipeline.run_stage(recipe, stopped.parent, "tiny", "sft")
    for name in ("sft-self", "sft-self-heldout", "sft-expert", "sft-dev"):
        assert curve(stopped, name) == curve(whole, name)
    assert same_model((whole, stopped), "5-sft")
    assert not list((stopped / "5-sft").glob("checkpoints-*"))


def files(folder: Path) -> dict[str, Any]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_error(done: subprocess.CompletedProcess[str]) -> str:
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("error: ")
    return line


def test_a_second_process_on_a_run_or_an_evaluation_is_refused_and_touches_nothing(tmp_path: Path):
    for folder, arguments in (
        (tmp_path / "runs" / "tiny", ("run", "tiny", *MICRO, "--fresh", "--yes")),
        (tmp_path / "evals" / "tiny", ("eval", "tiny", "--benchmark", "world", "--limit", "1")),
    ):
        folder.mkdir(parents=True)
        (folder / "recipe.json").write_text("{}")
        if arguments[0] == "eval":
            (folder / "recipe.json").rename(folder / "evaluation.json")
            (folder / "evaluation.json").write_text('{"model": "tiny", "settings": {}}')
        with locked(folder, "go"):
            before = files(tmp_path)
            said = one_error(rise(tmp_path, *arguments))
            after = files(tmp_path)
        assert f"process {os.getpid()} on " in said and "choose another --" in said
        lock = next(name for name in before if name.endswith(".lock"))
        assert after | {lock: b""} == before | {lock: b""}


def test_a_refused_run_leaves_no_folder(tmp_path: Path):
    assert "no training problem has" in one_error(
        rise(tmp_path, "run", "tiny", *MICRO, 'sft.stages.1.families=["bar"]')
    )
    assert list(tmp_path.iterdir()) == []
    assert "run name" in one_error(rise(tmp_path, "run", "tiny", *MICRO, "--name", "../elsewhere"))
    assert list(tmp_path.iterdir()) == []
