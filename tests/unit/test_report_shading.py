"""Tokens and the text that they are: shaded where they agree, else not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

import metis_rise
from metis_rise.report.shading import pieces
from metis_rise.types import Trajectory

TOKENIZER = Path(metis_rise.__file__).parent / "assets" / "tiny_base" / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(TOKENIZER))


def told(tokenizer: Tokenizer, text: str, more: tuple[int, ...] = ()) -> Trajectory:
    ids = (*tokenizer.encode(text, add_special_tokens=False).ids, *more)
    return Trajectory("p", 0, text, ids, tuple(-0.5 for _ in ids))


@pytest.mark.parametrize("text", ["<think> Steps: 3+4=7</think>", "größer als 三角形 😀 ok", " a  b\n\n"])
def test_pieces_are_the_text_and_share_out_all_log_probability(tokenizer: Tokenizer, text: str):
    one = told(tokenizer, text)
    found = pieces(tokenizer, one)
    assert "".join(part for part, _ in found) == text
    assert sum(value for _, value in found) == pytest.approx(sum(one.logprobs))


def test_the_end_token_is_left_out(tokenizer: Tokenizer):
    end = tokenizer.token_to_id("<|im_end|>")
    assert "".join(part for part, _ in pieces(tokenizer, told(tokenizer, "7", (end,)))) == "7"


def test_nothing_is_shaded_that_is_not_what_the_tokens_say(tokenizer: Tokenizer):
    one = told(tokenizer, "3+4=7")
    for text in ("3+4=8", "3+4=77", "x"):
        assert pieces(tokenizer, Trajectory("p", 0, text, one.tokens, one.logprobs)) == []
    assert pieces(tokenizer, Trajectory("p", 0, one.text, one.tokens, ())) == []
    assert pieces(tokenizer, Trajectory("p", 0, one.text, one.tokens, one.logprobs[1:])) == []
