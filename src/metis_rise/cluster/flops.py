"""Floating-point operations of what is done with prompts and completions: two per multiplication and addition.

Matrix products alone are counted. A prompt and a picture count once however many completions share them, attention
counts the pairs of tokens that see each other, the output head is at completion tokens alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from metis_rise.cluster.facts import ModelFacts, TextFacts, VisionFacts

Amount = TypeVar("Amount", float, NDArray[np.float64])
"""A number, or one for each of many groups."""


def group_flops(text: TextFacts, prompt: float, completed: Amount, group_size: float) -> Amount:
    """`packed_flops` of completions of `completed` tokens together, taken as equally long."""
    return _flops(text, prompt, completed, completed * (completed / group_size + 1) / 2)


def packed_flops(text: TextFacts, prompt: float, lengths: Sequence[float]) -> float:
    """Of one forward pass over a packed group: the prompt once, then completions of so many tokens each."""
    return _flops(text, prompt, sum(lengths), sum(length * (length + 1) / 2 for length in lengths))


def _flops(text: TextFacts, prompt: float, completed: Amount, siblings: Amount) -> Amount:
    """`siblings`: pairs of tokens within completions."""
    pairs = prompt * (prompt + 1) / 2 + completed * prompt + siblings
    attention = 4 * text.wide * text.layers * pairs
    return token_flops(text) * (prompt + completed) + attention + head_flops(text) * completed


def token_flops(text: TextFacts) -> float:
    """Of a token's way through all layers, without attention and head."""
    per_layer = text.hidden * (2 * text.wide + 2 * text.narrow + 3 * text.intermediate)
    return 2.0 * text.layers * per_layer


def head_flops(text: TextFacts) -> float:
    """Of a token's logits."""
    return 2.0 * text.hidden * text.vocabulary


def vision_flops(vision: VisionFacts, patches: float) -> float:
    """Of one picture's way through the vision tower, its windows taken as full."""
    hidden = vision.hidden
    feed_forward = (3 if vision.gated else 2) * hidden * vision.intermediate
    merged = vision.merge * hidden
    mergers = (1 + vision.levels) * (merged * merged + merged * vision.out)
    linear = patches * (vision.patch_values * hidden + vision.depth * (4 * hidden * hidden + feed_forward))
    linear += patches / vision.merge * mergers
    windows = vision.depth - vision.whole
    pairs = vision.whole * patches**2 + windows * patches * min(patches, vision.window)
    return 2 * linear + 4 * hidden * pairs


def update_factor(*, adapters: bool, recompute: bool) -> int:
    """Forward passes that an update costs: one forward, two backward (one for frozen weights), one to recompute."""
    return 1 + (1 if adapters else 2) + (1 if recompute else 0)


def kv_values(facts: ModelFacts) -> int:
    """Numbers that a token leaves behind in all layers: its keys and values."""
    return 2 * facts.text.layers * facts.text.narrow
