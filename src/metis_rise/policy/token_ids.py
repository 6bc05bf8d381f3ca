"""Token ids with a meaning to samplers and trainers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from metis_rise.errors import InputError

VISION_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
TURN_TOKEN = "<|im_start|>"


def end_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokenizer's end of turn first (it ends what SFT trains on), then what generation_config.json adds."""
    ends = model.generation_config.eos_token_id
    listed = [] if ends is None else ends if isinstance(ends, list) else [ends]
    ids = [value for value in (tokenizer.eos_token_id, *listed) if isinstance(value, int)]
    if not ids:
        raise InputError("neither generation_config.json nor the tokenizer names an end token")
    return tuple(dict.fromkeys(ids))


def banned_ids(tokenizer: PreTrainedTokenizerBase, vocabulary: int, eos_ids: Sequence[int]) -> tuple[int, ...]:
    """Ids that no sampler may draw: parts of a picture, a new turn, and rows of the embedding without a token."""
    known = tokenizer.get_vocab()
    named = {known[token] for token in (*VISION_TOKENS, TURN_TOKEN) if token in known}
    return tuple(sorted((named | set(range(len(tokenizer), vocabulary))) - set(eos_ids)))
