"""Limits per minute: calls wait so that an endpoint's own limits are not met."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

# What may be saved up while nothing is asked, in seconds of the rate: little, so that no minute passes its limit.
_BURST_S = 1.0
# A pause is cut into pieces of so many seconds, since what is given back shortens it.
_PIECE_S = 1.0
# Units that sums of seconds times rate may be off by.
_ROUNDING = 1e-6


class TokenBucket:
    """Hands out `per_minute` units a minute, evenly, to whoever waits longest.

    More may be taken at once than ever is in stock: the next ones then wait until the debt is paid.
    """

    def __init__(
        self,
        per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`per_minute` of None hands out everything at once. `clock` is in seconds."""
        self._rate = None if per_minute is None else per_minute / 60.0
        self._clock, self._sleep = clock, sleep
        self._most = self._stock = max(1.0, (self._rate or 0.0) * _BURST_S)
        self._seen = clock()
        self._turn = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait until `amount` may be used."""
        if self._rate is None:
            return
        async with self._turn:
            need = min(amount, self._most)
            while (short := need - self._filled(self._rate)) > _ROUNDING:
                await self._sleep(min(short / self._rate, _PIECE_S))
            self._stock -= amount

    def give_back(self, amount: float) -> None:
        """Of what was taken, `amount` was not used; negative for what was used beyond it."""
        self._stock = min(self._most, self._stock + amount)

    def _filled(self, rate: float) -> float:
        now = self._clock()
        self._stock = min(self._most, self._stock + (now - self._seen) * rate)
        self._seen = now
        return self._stock
