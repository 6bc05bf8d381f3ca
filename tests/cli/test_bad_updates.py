"""An update whose gradient is not finite is skipped, counted and told; the run goes on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from micro import MICRO

from metis_rise import pipeline
from metis_rise.policy import optimizer
from metis_rise.recipe import load_recipe
from metis_rise.run import read_jsonl


def test_rl_goes_on_past_an_infinite_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def infinite(*_: object, **__: object) -> torch.Tensor:
        return torch.tensor(math.inf)

    monkeypatch.setattr(optimizer.nn.utils, "clip_grad_norm_", infinite)
    recipe = load_recipe("tiny", [*MICRO, "rl.steps=2", "rl.filter_bounds=closed"])
    run = pipeline.run_stage(recipe, tmp_path, "bad", "rl")
    steps = [row["values"] for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == "rl"]
    assert len(steps) == 2 and all(values["groups_kept"] and "grad_norm" not in values for values in steps)
    warnings = [row["text"] for row in read_jsonl(run / "manifest.jsonl") if row["kind"] == "warning"]
    assert any("2 updates were skipped" in text for text in warnings)
