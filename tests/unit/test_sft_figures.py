"""What a curriculum stage says of itself in the end, from its metrics."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from metis_rise.recipe import load_recipe, resolved
from metis_rise.run import Run
from metis_rise.stages.sft import _figures
from metis_rise.stages.workshop import Workshop


def test_updates_that_were_skipped_have_no_loss_that_counts(tmp_path: Path):
    recipe = load_recipe("tiny")
    run = Run.open(tmp_path, "run", resolved(recipe))
    losses: list[dict[str, float]] = [{}, {"loss": 2.0}, {"loss": 1.0}, {}]
    for step, loss in enumerate(losses, 1):
        run.metric("sft-self", step, {"lr": 0.1, **loss})
    shop = cast(Workshop, SimpleNamespace(run=run))
    found: dict[str, Any] = _figures(shop, recipe.sft.stages[0], 0)
    assert found == {"loss_first": 2.0, "loss_last": 1.0, "steps": 3}
