from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_rise.engines.server.limits import TokenBucket


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def taken(per_minute: float | None, amounts: list[float], given_back: float = 0.0) -> list[float]:
    """When each of `amounts` was handed out, in seconds from the start."""
    clock = Clock()
    bucket = TokenBucket(per_minute, clock, clock.sleep)
    times = []

    async def all_of_them() -> None:
        for amount in amounts:
            await bucket.take(amount)
            times.append(clock.now - 100.0)
            bucket.give_back(given_back)

    asyncio.run(all_of_them())
    return times


def test_calls_come_evenly_at_their_rate():
    times = taken(60, [1] * 10)
    assert times == pytest.approx(list(range(10)))


def test_without_a_limit_nobody_waits():
    assert taken(None, [1e9] * 5) == [0.0] * 5


def test_more_than_is_ever_in_stock_is_handed_out_and_paid_for_by_those_that_follow():
    first, second, third = taken(600, [300, 1, 1])
    assert first == 0.0
    assert second == pytest.approx(29.1) and third == pytest.approx(29.2)


def test_what_is_given_back_shortens_the_wait():
    assert taken(600, [300, 300], given_back=290)[1] == pytest.approx(1.0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(30, 600))
def test_no_minute_passes_its_limit(amounts: list[int], per_minute: int):
    times = taken(per_minute, [float(amount) for amount in amounts])
    assert times == sorted(times)
    burst = max(1.0, per_minute / 60)
    for start, end in itertools.combinations_with_replacement(range(len(times)), 2):
        span = times[end] - times[start]
        # What was taken in a span was in stock or came in it, but for the debt that its last taker runs into.
        assert sum(amounts[start:end]) <= burst + per_minute / 60 * span + max(amounts) + 1e-6


def test_whoever_waits_longest_is_served_first():
    clock = Clock()
    bucket, order = TokenBucket(60, clock, clock.sleep), []

    async def one(name: int) -> None:
        await bucket.take(1)
        order.append(name)

    async def several() -> None:
        await asyncio.gather(*(one(name) for name in range(6)))

    asyncio.run(several())
    assert order == list(range(6))
