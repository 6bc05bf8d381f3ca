"""Loading a model as a recipe's section `model` says."""

from __future__ import annotations

from pathlib import Path

from metis_rise.policy.model import Policy
from metis_rise.policy.parallel.mesh import Parallel
from metis_rise.recipe.model import ModelConfig


def load_as(config: ModelConfig, model: str | Path, parallel: Parallel | None = None) -> Policy:
    """Loads `model`, a name or folder, with the settings of `config`; for `parallel` and errors see `Policy.load`."""
    return Policy.load(
        model,
        dtype=config.dtype,
        device=config.device,
        freeze_vision=config.freeze_vision,
        min_pixels=config.min_pixels,
        max_pixels=config.max_pixels,
        lora=config.lora,
        gradient_checkpointing=config.gradient_checkpointing,
        autocast=config.autocast,
        attention=config.attention,
        parallel=parallel,
    )
