"""RL and SFT tell the optimizer what the recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from metis_rise.recipe import load_recipe
from metis_rise.stages import rl, sft_training
from metis_rise.stages.hands import OptimizerSettings

MODEL = ("model.freeze_vision=false", "model.vision_lr_factor=0.25")


class Asked(Exception):
    """Ends a stage where it asks for its optimizer."""


def shop(*settings: str) -> Any:
    def training(asked: OptimizerSettings) -> None:
        raise Asked(asked)

    made = Mock(recipe=load_recipe("tiny", [*MODEL, *settings]), seed=1)
    made.bench.return_value.work.training = training
    return made


def test_rl() -> None:
    with pytest.raises(Asked) as asked:
        rl.run(shop("rl.weight_decay=0.5", "rl.max_grad_norm=0.75", "rl.adam_beta2=0.875"))
    assert asked.value.args == (OptimizerSettings(0.5, 0.75, 0.875, 0.25),)


def test_sft(tmp_path: Path) -> None:
    made = shop("sft.weight_decay=0.5", "sft.max_grad_norm=0.75", "sft.adam_beta2=0.875")
    with pytest.raises(Asked) as asked:
        sft_training.train(made, made.recipe.sft.stages[0], [], [], tmp_path, tmp_path, 0)
    assert asked.value.args == (OptimizerSettings(0.5, 0.75, 0.875, 0.25),)
