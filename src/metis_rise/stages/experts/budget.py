"""What the expert stage may spend: calls are refused before they might pass a cap, those in flight counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from metis_rise.errors import InputError
from metis_rise.recipe.expert import BudgetConfig

_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Spending:
    """Calls, tokens (prompts and answers) and money."""

    calls: int = 0
    tokens: int = 0
    money: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        return Spending(self.calls + other.calls, self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: Spending) -> Spending:
        return Spending(self.calls - other.calls, self.tokens - other.tokens, self.money - other.money)

    def over(self, caps: BudgetConfig) -> str:
        """The name of a cap that is passed, "" if none is."""
        amounts = (("calls", self.calls, caps.calls), ("tokens", self.tokens, caps.tokens))
        passed = [name for name, amount, cap in amounts if cap is not None and amount > cap]
        if caps.money is not None and self.money > caps.money * (1 + _SLACK):
            passed.append("money")
        return passed[0] if passed else ""

    def said(self, cap: str) -> str:
        """The amount that counts for a cap, as text."""
        return f"{self.money:.4g}" if cap == "money" else str(self.calls if cap == "calls" else self.tokens)


class BudgetSpent(Exception):
    """No further call fits; `cap` is the name of the cap."""

    def __init__(self, cap: str) -> None:
        super().__init__(cap)
        self.cap = cap


class Budget:
    """Grants calls while they fit. What a call may need at most is held from its grant to its reply.

    Belongs to one asyncio loop.
    """

    def __init__(
        self,
        caps: BudgetConfig,
        spent: Spending,
        ended: Collection[str],
        note: Callable[[str], None],
        *,
        begun: bool = False,
    ) -> None:
        """`spent` is what earlier processes spent, and `ended` the caps at which they ended this stage.

        `note` is told the cap that ends it now, once for each. `begun`: calls were granted in an earlier round.
        """
        self.spent = spent
        self._caps, self._noted, self._note = caps, set(ended), note
        self._held = Spending()
        self._granted = begun
        self._change = asyncio.Condition()

    async def grant(self, need: Spending) -> None:
        """Hold `need` for a call, once it fits; it waits while the end of others may make room.

        Raises:
            BudgetSpent: it does not fit, and nothing is in flight.
            InputError: so from the start, and no earlier process has said so.
        """
        async with self._change:
            while cap := (self.spent + self._held + need).over(self._caps):
                if not self._held.calls:
                    self._end(cap, need)
                await self._change.wait()
            self._held += need
            self._granted = True

    async def settle(self, need: Spending, used: Spending) -> None:
        """A granted call has ended: `used` is spent of the `need` that was held for it."""
        async with self._change:
            self._held -= need
            self.spent += used
            self._change.notify_all()

    def _end(self, cap: str, need: Spending) -> None:
        if cap not in self._noted:
            if not self._granted:
                raise InputError(
                    f"expert.budget.{cap} = {getattr(self._caps, cap):g}: {self.spent.said(cap)} spent already, and "
                    f"the next call may need {need.said(cap)}; raise it (the run goes on with it)"
                )
            self._noted.add(cap)
            self._note(cap)
        raise BudgetSpent(cap)
