"""The model of the study (docs/benchmarks.md): Qwen2.5-VL, small enough for one core, with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

WINDOW = 112


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths and depths of the language model and, from `vision_hidden` on, of the vision tower."""

    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 704
    vocabulary: int = 4096
    vision_hidden: int = 96
    vision_layers: int = 4
    vision_heads: int = 3
    vision_intermediate: int = 256


STUDY = Sizes()


def build_model(sizes: Sizes, tokenizer: PreTrainedTokenizerBase) -> Any:
    """A model whose special tokens are those of `tokenizer`, in float32 on the CPU; the same weights in every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = Qwen2_5_VLForConditionalGeneration(_config(sizes, tokenizer))
        return model.eval()


def _config(sizes: Sizes, tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    known = tokenizer.get_vocab()
    quarter = sizes.hidden // sizes.heads // 8
    rest = sizes.hidden // sizes.heads // 2 - quarter
    text = {
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.intermediate,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "max_position_embeddings": 32768,
        # Shares of time, height and width in a head, as in the published models.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [quarter, rest // 2, rest - rest // 2],
        },
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    vision = {
        "depth": sizes.vision_layers,
        "hidden_size": sizes.vision_hidden,
        "intermediate_size": sizes.vision_intermediate,
        "num_heads": sizes.vision_heads,
        "out_hidden_size": sizes.hidden,
        "fullatt_block_indexes": [sizes.vision_layers - 1],
        "window_size": WINDOW,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=known["<|image_pad|>"],
        video_token_id=known["<|video_pad|>"],
        vision_start_token_id=known["<|vision_start|>"],
        vision_end_token_id=known["<|vision_end|>"],
    )
