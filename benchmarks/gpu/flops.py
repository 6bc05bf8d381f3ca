"""Floating-point operations of a forward pass: what model FLOP utilisation counts.

Two per multiplication and addition, of matrix products alone. Every prompt counts once, every completion once, whatever
an arm repeats, pads, computes again or leaves out (ours does without the last layer's feed-forward at prompt tokens,
about a hundredth of a 7B model's work). Attention counts the pairs of tokens that see each other, no masked ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# A backward pass computes two products for each one of the forward pass.
TRAINING = 3


def forward_flops(config: Any, prompt: int, lengths: Sequence[int], grids: Sequence[Sequence[int]]) -> int:
    """Of one prompt and its completions; the head at completion tokens alone.

    Args:
        config: a Qwen2_5_VLConfig.
        prompt: tokens of the prompt.
        lengths: tokens of each completion.
        grids: patches (time, height, width) of each picture that goes through the vision tower; none when it is frozen
            and its features are known.
    """
    text = config.text_config
    dim: int = text.hidden_size // text.num_attention_heads
    wide: int = text.num_attention_heads * dim
    narrow: int = text.num_key_value_heads * dim
    weights: int = text.hidden_size * (2 * wide + 2 * narrow + 3 * text.intermediate_size)
    linear = 2 * weights * (prompt + sum(lengths))
    attention = 4 * wide * attention_pairs(prompt, lengths)
    head: int = 2 * text.hidden_size * text.vocab_size * sum(lengths)
    layers: int = text.num_hidden_layers
    tower = vision_flops(config.vision_config, grids)
    return layers * (linear + attention) + head + tower


def attention_pairs(prompt: int, lengths: Sequence[int]) -> int:
    """Pairs (query, key) that see each other: a prompt causally, completions their prompt and themselves."""
    return prompt * (prompt + 1) // 2 + sum(length * prompt + length * (length + 1) // 2 for length in lengths)


def vision_flops(config: Any, grids: Sequence[Sequence[int]]) -> int:
    """Of the vision tower's pass over pictures of `grids`."""
    hidden: int = config.hidden_size
    merge: int = config.spatial_merge_size**2
    patches = sum(time * height * width for time, height, width in grids)
    embedding = config.in_channels * config.temporal_patch_size * config.patch_size**2 * hidden
    block = hidden * (4 * hidden + 3 * config.intermediate_size)
    merger = (merge * hidden) ** 2 + merge * hidden * config.out_hidden_size
    linear: int = 2 * (patches * (embedding + config.depth * block) + patches // merge * merger)
    whole = len(config.fullatt_block_indexes)
    pairs: int = whole * sum(time * (height * width) ** 2 for time, height, width in grids)
    pairs += (config.depth - whole) * sum(_window_pairs(config, *grid) for grid in grids)
    return linear + 4 * hidden * pairs


def _window_pairs(config: Any, time: int, height: int, width: int) -> int:
    """Pairs within windows; those at the edge hold what is left."""
    side: int = config.window_size // config.patch_size
    rows, columns = ([min(side, extent - start) for start in range(0, extent, side)] for extent in (height, width))
    return time * sum((row * column) ** 2 for row in rows for column in columns)
