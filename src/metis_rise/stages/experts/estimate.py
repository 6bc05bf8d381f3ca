"""How many tokens a call may take, before it is made: by the length of its text and the size of its pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metis_rise.recipe.expert import ExpertEntry
from metis_rise.stages.experts.budget import Spending

# English is about four bytes a token, other scripts fewer; more is assumed than is usual.
_BYTES_PER_TOKEN = 3.0
# Most vision models take 750 to 800 pixels a token.
_PIXELS_PER_TOKEN = 750
_TOKENS_PER_MESSAGE = 8


def prompt_tokens(messages: Sequence[Mapping[str, Any]], sizes: Iterable[tuple[int, int]]) -> int:
    """Tokens of `messages` with pictures of `sizes` (pixels): a guess that tends to be too high."""
    text = sum(
        len(part["text"].encode("utf-8", "replace")) for m in messages for part in m["content"] if "text" in part
    )
    pictures = sum(math.ceil(width * height / _PIXELS_PER_TOKEN) for width, height in sizes)
    return math.ceil(text / _BYTES_PER_TOKEN) + pictures + _TOKENS_PER_MESSAGE * len(messages)


def answer_tokens(texts: Iterable[str]) -> int:
    """Tokens of answers whose endpoint does not say: a guess."""
    return sum(math.ceil(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN) for text in texts)


def cost(entry: ExpertEntry, prompt: float, completion: float) -> float:
    """The price of so many tokens; 0 where the recipe names none."""
    return (prompt * (entry.price_in or 0.0) + completion * (entry.price_out or 0.0)) / 1e6


def most(entry: ExpertEntry, prompt: int) -> Spending:
    """What a call with a prompt of so many tokens may need at most."""
    completion = entry.samples * entry.max_tokens
    return Spending(1, prompt + completion, cost(entry, prompt, completion))
