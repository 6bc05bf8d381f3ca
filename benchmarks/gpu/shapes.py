"""The models that are measured, written out, with random weights made on the device."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration


@dataclass(frozen=True, slots=True)
class Shape:
    """A model and the sizes that it is measured at.

    text, vision, tokens: the parts of its config; `tokens` are the special ids.
    plain: first and last + 1 of the ids that are ordinary text.
    image_tokens, completions, groups: of the cases; a square number, and the goal first.
    text_tokens: of a prompt, beside its picture.
    micro_tokens: budget of one forward and backward pass, alike for all arms.
    parity_layers: of the language model and of the vision tower where arms are checked against float32.
    parity_pictures, parity_lengths: image tokens of each prompt of that check, and the completions of each.
    """

    name: str
    text: dict[str, Any]
    vision: dict[str, Any]
    tokens: dict[str, Any]
    plain: tuple[int, int]
    image_tokens: int
    completions: tuple[int, ...]
    groups: tuple[int, ...]
    text_tokens: int
    micro_tokens: int
    parity_layers: int
    parity_pictures: tuple[int, ...]
    parity_lengths: tuple[int, ...]


# config.json of Qwen/Qwen2.5-VL-7B-Instruct.
SEVEN_B = Shape(
    name="7b",
    text={
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "pad_token_id": 151643,
    },
    vision={
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    tokens={
        "image_token_id": 151655,
        "video_token_id": 151656,
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
    },
    plain=(0, 151643),
    image_tokens=1024,
    completions=(1024, 256),
    groups=(8, 16),
    text_tokens=100,
    micro_tokens=20480,
    parity_layers=4,
    parity_pictures=(64, 256),
    parity_lengths=(128, 1, 40, 97),
)

# To try the script where there is no GPU.
SMALL = Shape(
    name="small",
    text={
        "vocab_size": 1024,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
        "bos_token_id": 1000,
        "eos_token_id": 1001,
        "pad_token_id": 1000,
        # As large as 7B's products come out, so that attention is as far from uniform.
        "initializer_range": 0.1,
    },
    vision={
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_heads": 2,
        "out_hidden_size": 128,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [1],
        "initializer_range": 0.1,
    },
    tokens={
        "image_token_id": 1005,
        "video_token_id": 1006,
        "vision_start_token_id": 1002,
        "vision_end_token_id": 1003,
    },
    plain=(0, 1000),
    image_tokens=16,
    completions=(16,),
    groups=(8,),
    text_tokens=12,
    micro_tokens=256,
    parity_layers=2,
    parity_pictures=(16, 36),
    parity_lengths=(24, 1, 9, 17),
)

SHAPES = {shape.name: shape for shape in (SEVEN_B, SMALL)}


def make_config(shape: Shape, layers: int | None = None) -> Qwen2_5_VLConfig:
    """The model's config; `layers` cuts both parts down to so many, of the tower's the last with full attention."""
    text, vision = deepcopy(shape.text), deepcopy(shape.vision)
    if layers is not None:
        text["num_hidden_layers"] = vision["depth"] = layers
        vision["fullatt_block_indexes"] = [layers - 1]
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **shape.tokens)


def make_model(config: Qwen2_5_VLConfig, device: torch.device, dtype: torch.dtype) -> Any:
    """A model of `config` whose weights are drawn as transformers draws them, on `device` in `dtype`, seed 0."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model: Any = Qwen2_5_VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval()
