"""Updates that cannot be made are skipped, counted and told; too many in a row end the run, which can go on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from micro import MICRO

from metis_rise import pipeline
from metis_rise.check.folder import check_run
from metis_rise.errors import InputError
from metis_rise.policy import optimizer
from metis_rise.policy.scorer import Scorer
from metis_rise.recipe import load_recipe
from metis_rise.run import Run, read_jsonl

RL = (*MICRO, "rl.filter_bounds=closed")


def infinite(*_: object, **__: object) -> torch.Tensor:
    return torch.tensor(math.inf)


def curve(run: Path, name: str) -> list[dict[str, float]]:
    return [row["values"] for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == name]


def test_rl_goes_on_past_an_infinite_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(optimizer.nn.utils, "clip_grad_norm_", infinite)
    recipe = load_recipe("tiny", [*RL, "rl.steps=2"])
    run = pipeline.run_stage(recipe, tmp_path, "bad", "rl")
    steps = curve(run, "rl")
    assert len(steps) == 2 and all(values["groups_kept"] and "grad_norm" not in values for values in steps)
    assert [values["updates_skipped"] for values in steps] == [1, 1]
    warnings = [row["text"] for row in read_jsonl(run / "manifest.jsonl") if row["kind"] == "warning"]
    assert any("2 updates were skipped" in text for text in warnings)


def test_too_many_bad_updates_in_a_row_end_rl_which_goes_on_from_its_last_checkpoint(tmp_path: Path):
    recipe = load_recipe("tiny", [*RL, "rl.steps=4", "rl.max_bad_updates=3"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizer.nn.utils, "clip_grad_norm_", infinite)
        for _ in range(2):
            # Gone on with, it counts on from the checkpoint: the same step fails again, and is not there twice.
            with pytest.raises(InputError, match=r"in 3 updates in a row, the last one in step 3: .* no problem's own"):
                pipeline.run_stage(recipe, tmp_path, "bad", "rl")
            rows = read_jsonl(tmp_path / "bad" / "1-rl" / "bad-updates.jsonl")
            assert [row["step"] for row in rows] == [1, 2, 3] and all(row["problems"] for row in rows)
    run = pipeline.run_stage(recipe, tmp_path, "bad", "rl")
    assert [values["updates_skipped"] for values in curve(run, "rl")] == [1, 1, 0, 0]
    assert [row["step"] for row in read_jsonl(run / "1-rl" / "bad-updates.jsonl")] == [1, 2]
    assert check_run(run).faults == []


def test_rl_without_room_for_a_problem_leaves_it_out_and_counts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every pass with gradient over one of the training problems fails."""
    recipe = load_recipe("tiny", [*RL, "rl.steps=2"])
    whole, unlucky = Scorer.run, set[str]()

    def run(self: Scorer, groups: list, call: object) -> object:
        names = {group.prompt.problem for group in groups}
        unlucky.update(sorted(names)[:1] if not unlucky else ())
        if names & unlucky and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, groups, call)  # type: ignore[arg-type]

    monkeypatch.setattr(Scorer, "run", run)
    run_folder = pipeline.run_stage(recipe, tmp_path, "small", "rl")
    steps = curve(run_folder, "rl")
    left_out = sum(values["groups_left_out"] for values in steps)
    done = Run(run_folder).stage("rl").result()
    assert len(unlucky) == 1 and left_out >= 1 and not any(values["updates_skipped"] for values in steps)
    assert done["dropped"]["too large for memory"] == 4 * left_out
    assert done["counts"]["used"] == 4 * (sum(values["groups_kept"] for values in steps) - left_out)
    log = (run_folder / "logs" / "0001.txt").read_text()
    assert f"left out: {next(iter(unlucky))!r}" in log and "again in passes of" in log
    assert check_run(run_folder).faults == []
