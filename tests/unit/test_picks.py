"""Every policy of choosing among a problem's good trajectories."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.recipe import DistillConfig
from metis_rise.stages.likeness import fingerprint, likeness
from metis_rise.stages.picks import pick
from metis_rise.types import Trajectory

POLICIES = get_args(DistillConfig.model_fields["pick"].annotation)
WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "kid", "lynx")


def good(text: str, tokens: int = 5, logprob: float | None = -1.0) -> Trajectory:
    return Trajectory("p", 0, text, (0,) * tokens, () if logprob is None else (logprob,) * tokens)


def picked(rows: list[Trajectory], most: int, policy: str, seed: int = 0, limit: float = 0.9) -> list[str]:
    chosen, _ = pick(rows, DistillConfig(pick=policy, max_similarity=limit), most, Random(seed))
    return [t.text for t in chosen]


def test_by_length():
    rows = [good(word, tokens) for word, tokens in zip("cadbe", (30, 10, 40, 22, 100), strict=True)]
    assert picked(rows, 2, "shortest") == ["a", "b"]
    assert picked(rows, 2, "longest") == ["e", "d"]
    assert picked(rows, 3, "median") == ["c", "b", "d"]


def test_by_mean_log_probability_not_by_its_sum():
    rows = [good("short", 2, -1.0), good("long", 50, -0.5), good("none", 3, None), good("middle", 5, -0.8)]
    assert picked(rows, 4, "likeliest") == ["long", "middle", "short", "none"]


def test_diverse_takes_those_least_alike():
    near = "the cat sat on the mat and then it slept well"
    rows = [good(near + " 5", 10), good(near + " all day 5", 11), good("dogs bark 5", 30), good(near + " today 5", 9)]
    assert picked(rows, 2, "diverse", limit=1.0) == [near + " 5", "dogs bark 5"]
    assert picked(rows, 4, "diverse", limit=0.8) == [near + " 5", "dogs bark 5"]


def test_random_depends_on_the_seed_alone():
    rows = [good(word) for word in WORDS]
    draws = [picked(rows, 3, "random", seed) for seed in range(20)]
    assert draws == [picked(rows, 3, "random", seed) for seed in range(20)]
    assert {word for draw in draws for word in draw} == set(WORDS)


@pytest.mark.parametrize("policy", POLICIES)
@given(
    rows=st.lists(st.tuples(st.lists(st.sampled_from(WORDS[:5]), max_size=6), st.integers(1, 9)), max_size=12),
    most=st.integers(1, 4),
    limit=st.sampled_from((0.0, 0.5, 0.9, 1.0)),
)
def test_whatever_the_policy(policy: str, rows: list[tuple[list[str], int]], most: int, limit: float):
    """No more than asked, none twice, none nearly the same as another; what is left is counted, and could not stay."""
    made = [good(" ".join(words), tokens) for words, tokens in rows]
    chosen, dropped = pick(made, DistillConfig(pick=policy, max_similarity=limit), most, Random(0))
    assert len(chosen) <= most and len({id(t) for t in chosen}) == len(chosen)
    assert len(chosen) + sum(dropped.values()) == len(made)
    prints = [fingerprint(t.text) for t in chosen]
    assert all(likeness(a, b) <= limit for i, a in enumerate(prints) for b in prints[:i])
    if len(chosen) < most:
        assert set(dropped) <= {"near duplicate"}
        for left in made:
            same = any(left is t for t in chosen)
            assert same or any(likeness(fingerprint(left.text), other) > limit for other in prints)
