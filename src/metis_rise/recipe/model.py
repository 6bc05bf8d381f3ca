"""The model section."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault

Linear = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class LoraConfig(Part):
    """Low-rank adapters: what is trained instead of the weights, which stay as they were loaded.

    Needs the extra `lora`. There is no dropout: with it the ratio of new to old probabilities would not start at 1.
    """

    rank: Annotated[int, Field(ge=1)] = 32
    """Rank of each adapter; more can learn more and costs more memory."""

    alpha: Annotated[float, Field(gt=0)] = 64.0
    """What an adapter adds is scaled by alpha / rank."""

    targets: Annotated[tuple[Linear, ...], Field(strict=False, min_length=1)] = get_args(Linear)
    """The linear layers of the language model that get an adapter."""


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

    vision_lr_factor: Annotated[float, Field(gt=0)] = 1.0
    """The learning rate of a trained vision tower (freeze_vision: false) as a share of the language model's."""

    min_pixels: Annotated[int, Field(ge=1)] | None = None
    """Smallest image area after resizing; null keeps the model's own setting."""

    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Largest image area after resizing; null keeps the model's own setting."""

    lora: LoraConfig | None = None
    """Train low-rank adapters of the language model instead of its weights; `{}` takes their defaults."""

    gradient_checkpointing: bool = False
    """Compute a layer's activations again in the backward pass instead of keeping them: less memory, more time."""

    autocast: bool = False
    """Compute in bfloat16 with float32 weights and gradients; needs dtype float32."""

    attention: Literal["auto", "sdpa", "cascade", "varlen"] = "auto"
    """How a prompt shared by its completions is attended to; `auto` picks what is fastest on the device and says so
    in the log."""

    @model_validator(mode="after")
    def _together(self) -> ModelConfig:
        if self.autocast and self.dtype != "float32":
            raise fault("dtype", self.dtype, "must be float32 with model.autocast, which computes in bfloat16 itself")
        if self.lora is not None and not self.freeze_vision:
            allowed = "must be true with model.lora, which trains adapters of the language model alone"
            raise fault("freeze_vision", self.freeze_vision, allowed)
        if self.vision_lr_factor != 1.0 and self.freeze_vision:
            allowed = "must be 1.0 unless model.freeze_vision is false: the tower is not trained"
            raise fault("vision_lr_factor", self.vision_lr_factor, allowed)
        return self

    @model_validator(mode="after")
    def _pixels(self) -> ModelConfig:
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise fault("min_pixels", self.min_pixels, f"must not be above model.max_pixels ({self.max_pixels})")
        return self
