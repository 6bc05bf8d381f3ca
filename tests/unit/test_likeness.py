"""How alike texts are: words, order, numbers, and the time that it takes."""

from __future__ import annotations

import time
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.stages.likeness import fingerprint, likeness

TEXT = st.text(alphabet="ab 12.=\n\\é", max_size=40)


def alike(first: str, second: str) -> float:
    return likeness(fingerprint(first), fingerprint(second))


@given(TEXT, TEXT)
def test_it_is_a_symmetric_share(first: str, second: str):
    assert 0 <= alike(first, second) == alike(second, first) <= 1
    assert alike(first, first) == 1


@given(TEXT)
def test_case_and_spaces_do_not_matter(text: str):
    assert alike(text, f"  {text.upper()}\n") == 1


def test_nothing_in_common_is_zero():
    assert alike("red and blue", "green or yellow") == 0
    assert alike("", "green") == 0


def test_a_number_matters_in_a_short_text_and_in_a_long_one_of_the_same_words():
    assert alike("so 4 + 3 = 7", "so 5 + 2 = 7") < 0.5
    filler = "first we read the picture and think about every bar in it with care then we add "
    assert alike(filler + "4 + 3 = 7", filler + "5 + 2 = 7") < 0.5
    assert alike(filler + "4 + 3 = 7", filler + "so 4 + 3 = 7") > 0.9


def test_order_and_repetition_matter():
    assert alike("one two three four", "four three two one") < 0.5
    assert alike("wait " * 20 + "done", "wait done") < 0.5


def test_decimals_are_one_number():
    assert alike("it is 3.14", "it is 3.15") == 0
    assert alike("it is 12", "it is 1 2") < 1


def test_a_few_words_changed_in_a_long_text_are_a_near_duplicate():
    draw = Random(0)
    words = [draw.choice("abcdefghij") * draw.randint(2, 9) for _ in range(400)]
    changed = words.copy()
    for place in draw.sample(range(400), 5):
        changed[place] = "other"
    assert 0.95 < alike(" ".join(words), " ".join(changed)) < 1
    assert alike(" ".join(words), " ".join(draw.sample(words, 400))) < 0.8


@pytest.mark.parametrize("words", [4000])
def test_sixteen_long_texts_are_compared_in_seconds(words: int):
    """A quadratic comparison of one such pair takes longer than all of this (measured: 0.3 s for all pairs)."""
    draw = Random(0)
    texts = [" ".join(str(draw.randint(0, 99)) for _ in range(words)) for _ in range(16)]
    began = time.thread_time()
    prints = [fingerprint(text) for text in texts]
    assert all(likeness(first, second) < 1 for first, second in combinations(prints, 2))
    assert time.thread_time() - began < 3
