"""The model section."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault


class ModelConfig(Part):
    """Which model is trained, and where."""

    path: Annotated[str, Field(min_length=1)] = "Qwen/Qwen2.5-VL-7B-Instruct"
    """A folder in Hugging Face layout, a hub id, or `tiny` for the base model inside this package."""

    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Number format of weights and activations."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; `auto` takes a GPU where there is one."""

    freeze_vision: bool = True
    """Leave the vision tower as it is; image features are then computed once and kept."""

    min_pixels: Annotated[int, Field(ge=1)] | None = None
    """Smallest image area after resizing; null keeps the model's own setting."""

    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Largest image area after resizing; null keeps the model's own setting."""

    @model_validator(mode="after")
    def _pixels(self) -> ModelConfig:
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise fault("min_pixels", self.min_pixels, f"must not be above model.max_pixels ({self.max_pixels})")
        return self
