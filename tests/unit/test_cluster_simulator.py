"""The simulated RL loop against closed forms, and against a simulation that moves one token at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.cluster import simulator
from metis_rise.cluster.rates import Decoding
from metis_rise.cluster.simulator import Loop, Rollouts, sample_seconds, simulate

LENGTH = 10


def equal(random: np.random.Generator, count: int) -> np.ndarray:
    return np.full(count, float(LENGTH))


def ragged(random: np.random.Generator, count: int) -> np.ndarray:
    return random.integers(1, 200, count).astype(float)


LOOP = Loop(
    servers=1,
    rows=100,
    decoding=Decoding(1.0, 0.1),
    prompt=2.0,
    problem=0.5,
    groups=4,
    group_size=3,
    teaching=1.0,
    refills=3,
    carry=1,
    lengths=equal,
    update=lambda completed: 7.0,
    push=5.0,
    ahead=False,
)
# Four prompts made and read, then ten steps of twelve rows.
SAMPLING = 4 * 0.5 + 4 * 2 + LENGTH * (1 + 12 * 0.1)


def test_step_by_step_everything_follows_each_other():
    found = simulate(LOOP)
    assert (found.sampling, found.update, found.push) == pytest.approx((SAMPLING, 7, 5))
    assert found.step == pytest.approx(SAMPLING + 7 + 5)
    assert (found.waiting, found.trainers, found.servers) == pytest.approx(
        (SAMPLING / found.step, 7 / found.step, SAMPLING / found.step)
    )
    assert (found.sampled, found.trained) == (4, 4)


@pytest.mark.parametrize("update", [7.0, 100.0])
def test_ahead_the_slower_of_the_two_decides(update: float):
    found = simulate(replace(LOOP, ahead=True, update=lambda completed: update))
    assert found.step == pytest.approx(max(SAMPLING, update) + 5)
    assert found.waiting * found.step == pytest.approx(max(0.0, SAMPLING - update))


def test_servers_share_the_groups_and_the_slowest_is_waited_for():
    seconds, busy = sample_seconds(replace(LOOP, servers=3), np.full((4, 3), float(LENGTH)))
    # Two groups at one server, one each at the others.
    two, one = (2 * 2 + LENGTH * 1.6, 2 + LENGTH * 1.3)
    assert (seconds, busy) == pytest.approx((2 + two, 2 + (two + 2 * one) / 3))
    alone, _ = sample_seconds(replace(LOOP, servers=50), np.full((4, 3), float(LENGTH)))
    assert alone == pytest.approx(2 + one)


def one_by_one(lengths: Sequence[float], rows: int, decoding: Decoding) -> float:
    waiting, under_way, seconds = list(lengths), [], 0.0
    while waiting or under_way:
        while waiting and len(under_way) < rows:
            under_way.append(waiting.pop(0))
        seconds += decoding.seconds(len(under_way))
        under_way = [left - 1 for left in under_way if left > 1]
    return seconds


@given(st.lists(st.integers(1, 30), min_size=1, max_size=24), st.integers(1, 30))
def test_continuous_batching_is_that_of_a_token_at_a_time(lengths: list[int], rows: int):
    loop = replace(LOOP, rows=rows, prompt=0.0, problem=0.0)
    seconds, _ = sample_seconds(loop, np.array(lengths, float)[:, None])
    assert seconds == pytest.approx(one_by_one(lengths, rows, loop.decoding))


@pytest.mark.parametrize("rows", [3, 20])
def test_a_long_queue_is_played_from_near_its_end(rows: int, monkeypatch: pytest.MonkeyPatch):
    lengths = ragged(np.random.default_rng(1), 6000)[:, None]
    loop = replace(LOOP, rows=rows, prompt=0.0, problem=0.0)
    short = sample_seconds(loop, lengths)
    assert short[0] == pytest.approx(one_by_one(lengths[:, 0].tolist(), rows, loop.decoding), rel=1e-3)
    monkeypatch.setattr(simulator, "_LAST", 10**6)
    assert short == pytest.approx(sample_seconds(loop, lengths), rel=1e-3)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("servers", [1, 8])
@pytest.mark.parametrize("update", [0.001, 10.0])
@pytest.mark.parametrize("teaching", [0.3, 1.0])
def test_huge_steps_are_what_they_are_when_all_is_played(
    ahead: bool, servers: int, update: float, teaching: float, monkeypatch: pytest.MonkeyPatch
):
    loop = replace(LOOP, groups=3000, lengths=ragged, ahead=ahead, servers=servers, teaching=teaching)
    loop = replace(loop, update=lambda tokens: 3 + update * sum(tokens) / 300)
    found = {}
    for name, least in (("part", 600), ("all", 10**6)):
        monkeypatch.setattr(simulator, "_LEAST_PLAYED", least)
        found[name] = simulate(loop)
    for name in ("step", "sampling", "update", "push", "trainers", "servers", "sampled", "trained"):
        assert getattr(found["part"], name) == pytest.approx(getattr(found["all"], name), rel=0.01), name
    assert found["part"].waiting == pytest.approx(found["all"].waiting, abs=0.01)


def test_the_last_long_completions_are_waited_for_once_however_large_a_step_is(monkeypatch: pytest.MonkeyPatch):
    def long_tailed(random: np.random.Generator, count: int) -> np.ndarray:
        return np.minimum(np.ceil(random.lognormal(6, 1, count)), 1 << 14)

    loop = replace(LOOP, servers=64, rows=256, groups=1 << 15, group_size=8, lengths=long_tailed)
    loop = replace(loop, decoding=Decoding(0.01, 0.00005), prompt=0.05, problem=0.0)
    part = simulate(loop)
    monkeypatch.setattr(simulator, "_LEAST_PLAYED", loop.groups)
    assert part.sampling == pytest.approx(simulate(loop).sampling, rel=0.01)


def test_what_is_drawn_is_bounded_whatever_is_asked_for():
    drawn = []

    def counted(random: np.random.Generator, count: int) -> np.ndarray:
        drawn.append(count)
        return equal(random, count)

    found = simulate(replace(LOOP, groups=10**9, lengths=counted, update=lambda tokens: 0.01 * len(tokens)))
    assert sum(drawn) < 10**6
    assert found.trained == 10**9 and found.update == pytest.approx(1e7)
    # One server of a hundred rows, three in each group.
    expected = 10**9 * (0.5 + 2 + 3 * LENGTH * (1 / 100 + 0.1))
    assert found.sampling == pytest.approx(expected, rel=0.01)


def test_what_the_filter_drops_is_sampled_again_within_bounds():
    half = simulate(replace(LOOP, teaching=0.5, groups=20, lengths=ragged), steps=60)
    assert half.trained == pytest.approx(20, abs=0.5)
    # Surplus is carried over: what is sampled is what is trained on and dropped.
    assert half.sampled == pytest.approx(40, rel=0.1)
    scarce = simulate(replace(LOOP, teaching=0.05, groups=20), steps=60)
    assert scarce.sampled <= 4 * 20
    assert scarce.trained < 20
    assert simulate(replace(LOOP, teaching=0.5, refills=0, groups=20), steps=60).sampled <= 20


def test_surplus_that_grew_old_is_dropped():
    kept, dropped = (simulate(replace(LOOP, teaching=0.5, groups=20, carry=c), steps=60) for c in (1, 0))
    assert dropped.sampled > kept.sampled


def test_more_servers_help_until_the_longest_completion_is_all_there_is():
    steps = [
        simulate(replace(LOOP, servers=n, groups=64, lengths=ragged, teaching=0.5), steps=10).step
        for n in (1, 2, 4, 8, 16, 32, 64, 128)
    ]
    gains = [1 - later / earlier for earlier, later in pairwise(steps)]
    assert gains[0] > 0.3
    assert abs(gains[-1]) < 0.05


def test_surplus_is_trained_on_first_and_only_while_it_is_young():
    rollouts = Rollouts(LOOP, np.random.default_rng(0), [(3, 1.0), (4, 2.0)])
    kept, seconds, _, sampled = rollouts.collect(5)
    assert (kept[0], len(kept), sampled) == (2.0, 4, 3)
    assert seconds > 0
    plenty = Rollouts(LOOP, np.random.default_rng(0), [(4, float(n)) for n in range(6)])
    assert plenty.collect(5) == ([0.0, 1.0, 2.0, 3.0], 0.0, 0.0, 0)
    assert plenty.surplus == [(4, 4.0), (4, 5.0)]
