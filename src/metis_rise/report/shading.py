"""The pieces of a completion's text that its tokens stand for, each with its log-probability."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from metis_rise.report.data import RunData
from metis_rise.types import Trajectory

_FILE = "tokenizer.json"
# Where a run's models are, each with the tokenizer of all of them.
_PLACES = (f"[1-6]-*/model*/{_FILE}", f"1-rl/checkpoint-*/model/{_FILE}")


def tokenizer_of(run: RunData) -> Tokenizer | None:
    """The tokenizer of a run's models; None where no folder that can be read has one."""
    base = (run.recipe or {}).get("model", {})
    places = [file for place in _PLACES for file in sorted(run.path.glob(place))]
    if isinstance(base, dict) and isinstance(base.get("path"), str):
        places.append(Path(base["path"]) / _FILE)
    file = next((place for place in places if place.is_file()), None)
    try:
        return None if file is None else Tokenizer.from_file(str(file))
    except Exception:  # what tokenizers raises for a file that it cannot read has no type of its own
        return None


def pieces(tokenizer: Tokenizer, trajectory: Trajectory) -> list[tuple[str, float]]:
    """(text, log-probability) from the first token on, which together are the text; empty where they are not.

    A character may take several tokens: they are one piece, whose log-probability is their sum. The end token, which
    is not in the text, is left out.
    """
    if not trajectory.logprobs or len(trajectory.logprobs) != len(trajectory.tokens):
        return []
    found: list[tuple[str, float]] = []
    left = trajectory.text
    for part, value in _decoded(tokenizer, trajectory):
        if not left:
            return found
        if not left.startswith(part):
            return []
        left = left[len(part) :]
        found.append((part, value))
    return [] if left else found


def _decoded(tokenizer: Tokenizer, trajectory: Trajectory) -> Iterator[tuple[str, float]]:
    stream, waiting = DecodeStream(skip_special_tokens=False), 0.0
    for token, value in zip(trajectory.tokens, trajectory.logprobs, strict=True):
        part = stream.step(tokenizer, token)
        waiting += value
        if part:
            yield part, waiting
            waiting = 0.0
