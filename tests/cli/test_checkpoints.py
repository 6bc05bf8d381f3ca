"""RL and SFT that end without a word go on from their checkpoints, and end as if nothing had happened, to the bit."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from micro import ENVIRONMENT, MICRO, command

from metis_rise import pipeline
from metis_rise.recipe import Recipe, load_recipe
from metis_rise.run import Run, read_jsonl
from metis_rise.stages.keeper import Keeper

# Draws from all generators that a user's code may use, so that each of them has to be where it was.
REWARD = """
import random
import numpy
import torch

def noise(given):
    return random.random() + float(numpy.random.random()) + float(torch.rand(1)) + random.gauss(0, 1)
"""
OWN = ("rl.steps", "rl.checkpoint_every", "rl.eval_every", "sft.stages")
RECIPE = (
    *(setting for setting in MICRO if not setting.startswith(OWN)),
    "rl.steps=5",
    "rl.eval_every=99",
    "rl.user_reward=noisy_reward:noise",
    "sft.stages.0.epochs=2",
    "sft.stages.0.batch_size=4",
    "sft.stages.1.epochs=1",
)
# None but the first and the last; or all, by time alone.
SELDOM = ("rl.checkpoint_every=99", "rl.checkpoint_minutes=0", "sft.checkpoint_minutes=0")
ALWAYS = ("rl.checkpoint_every=99", "rl.checkpoint_minutes=1e-9")
CLOCKS = ("seconds", "tokens_per_second", "waiting", "data_waiting", "images_encoded")


class Killed(BaseException):
    """Ends a run at once: nobody catches it."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `tiny`, done up to SFT with no checkpoint on the way."""
    root = tmp_path_factory.mktemp("runs")
    (root / "noisy_reward.py").write_text(REWARD)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        for stage in ("rl", "diagnose", "distill", "expert", "sft"):
            pipeline.run_stage(recipe(*SELDOM), root, "tiny", stage)
    return root


def recipe(*settings: str) -> Recipe:
    return load_recipe("tiny", [*RECIPE, *settings])


def curve(run: Path, name: str) -> list[tuple[int, dict[str, float]]]:
    """The rows of a curve without what a clock or a cache says."""
    rows = [row for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == name]
    return [(row["step"], {key: value for key, value in row["values"].items() if key not in CLOCKS}) for row in rows]


def rollouts(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "1-rl").glob("trajectories-*.jsonl")}


def weights(run: Path, stage: str) -> bytes:
    return (run / stage / "model" / "model.safetensors").read_bytes()


def test_rl_goes_on_from_the_last_whole_checkpoint_that_was_written_by_time(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(runs)
    save = Keeper.save

    def killed_at_4(keeper: Keeper, step: int, *rest: object) -> None:
        if step == 4:
            raise Killed
        save(keeper, step, *rest)  # type: ignore[arg-type]

    run, calm = tmp_path / "tiny", runs / "tiny"
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "save", killed_at_4)
        with pytest.raises(Killed):
            pipeline.run_stage(recipe(*ALWAYS), tmp_path, "tiny", "rl")
    assert {path.name for path in (run / "1-rl").glob("checkpoint-*")} == {f"checkpoint-{n}" for n in (0, 2, 3)}
    # What the fourth step left, and a torn checkpoint of the third one.
    assert "trajectories-000004.jsonl" in rollouts(run) and len(curve(run, "rl")) == 4
    optimizer = run / "1-rl" / "checkpoint-3" / "optimizer.safetensors"
    optimizer.write_bytes(optimizer.read_bytes()[:-1])

    # The third step comes after the one that it is resumed from, and the run ends at once: nothing may be left of it.
    with monkeypatch.context() as patch:
        patch.setattr(Run, "metric", _killing)
        with pytest.raises(Killed):
            pipeline.run_stage(recipe(*SELDOM), tmp_path, "tiny", "rl")
    assert set(rollouts(run)) == {"trajectories-000001.jsonl", "trajectories-000002.jsonl"}
    pipeline.run_stage(recipe(*SELDOM), tmp_path, "tiny", "rl")
    said = (run / "log.txt").read_text()
    assert "1-rl/checkpoint-3: the checkpoint is damaged" in said and "RL: going on from checkpoint-2" in said
    assert weights(run, "1-rl") == weights(calm, "1-rl")
    assert curve(run, "rl") == curve(calm, "rl") and curve(run, "rl-dev") == curve(calm, "rl-dev")
    assert rollouts(run) == rollouts(calm) and len(rollouts(calm)) == 5


def _killing(run: Run, stage: str, step: int, values: Mapping[str, float]) -> None:
    raise Killed


def test_sft_goes_on_within_an_epoch_and_at_its_end(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(runs)
    run, calm = tmp_path / "tiny", runs / "tiny"
    shutil.copytree(calm, run)
    shutil.rmtree(run / "5-sft")
    for name in ("sft-self", "sft-self-heldout", "sft-expert", "sft-expert-heldout", "sft-dev"):
        Run(run).truncate_metrics(name, -1)
    steps = len(curve(calm, "sft-self"))
    assert steps >= 4 and steps % 2 == 0, "an epoch's end, and a step within one"
    # Within an epoch, at the end of one before it is all written, and when all but the model is.
    metric, ends = Run.metric, [("sft-self", 3), ("sft-self-heldout", steps // 2), ("sft-dev", 1)]

    def killed(this: Run, stage: str, step: int, values: Mapping[str, float]) -> None:
        at_end = (stage, step) in ends
        if not (at_end and stage == "sft-self-heldout"):
            metric(this, stage, step, values)
        if at_end:
            ends.remove((stage, step))
            raise Killed

    made = recipe(*SELDOM, "sft.checkpoint_every=1")
    with monkeypatch.context() as patch:
        patch.setattr(Run, "metric", killed)
        for _ in range(3):
            with pytest.raises(Killed):
                pipeline.run_stage(made, tmp_path, "tiny", "sft")
    pipeline.run_stage(made, tmp_path, "tiny", "sft")
    assert "SFT self: going on after step 2\n" in (run / "log.txt").read_text()
    assert f"SFT self: going on after step {steps}\n" in (run / "log.txt").read_text()
    for name in ("sft-self", "sft-self-heldout", "sft-expert", "sft-expert-heldout", "sft-dev"):
        assert curve(run, name) == curve(calm, name)
    assert weights(run, "5-sft") == weights(calm, "5-sft")
    assert not list((run / "5-sft").glob("checkpoints-*"))


def test_checkpoints_of_a_stage_that_is_done_are_deleted(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may end between the two."""
    monkeypatch.syspath_prepend(runs)
    stage = runs / "tiny" / "5-sft"
    (stage / "DONE").unlink()
    (stage / "checkpoints-self" / "checkpoint-1").mkdir(parents=True)
    pipeline.run_stage(recipe(*SELDOM), runs, "tiny", "sft")
    assert (stage / "DONE").exists() and not (stage / "checkpoints-self").exists()


def test_fresh_asks_before_it_discards(tmp_path: Path) -> None:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "recipe.json").write_text("{}")
    hand, terminal = pty.openpty()
    process = subprocess.Popen(
        command("run", "tiny", "--fresh"),
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.write(hand, b"n\n")
    said = process.communicate(timeout=600)[0]
    assert process.returncode == 2
    assert "Delete the run runs/tiny and start again?" in said and "runs/tiny: kept; leave out --fresh" in said
    assert (tmp_path / "runs" / "tiny" / "recipe.json").exists()
