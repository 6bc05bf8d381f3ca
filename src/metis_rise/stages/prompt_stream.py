"""Which problem RL samples next: shuffled epochs that skip, most of the time, what taught nothing the last time."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from metis_rise.seeding import derive
from metis_rise.types import Problem


class PromptStream:
    """An endless, resumable order of problems."""

    def __init__(self, problems: Sequence[Problem], seed: int, revisit: float) -> None:
        """`revisit` is the chance to draw again a problem whose last group was all right or all wrong."""
        self._problems, self._seed, self._revisit = list(problems), seed, revisit
        self._epoch, self._cursor, self._draws = 0, 0, 0
        self._settled: set[str] = set()
        self._order = self._shuffled()

    def take(self, count: int) -> list[Problem]:
        """The next `count` problems, all different; all of them when there are not so many.

        Settled problems are taken whatever the chance once a whole epoch has brought nothing else.
        """
        taken: dict[str, Problem] = {}
        idle = 0
        while len(taken) < min(count, len(self._problems)):
            problem = self._next()
            self._draws += 1
            chance = Random(derive(self._seed, "revisit", self._draws)).random()
            open_now = problem.id not in self._settled or chance < self._revisit or idle > len(self._problems)
            if problem.id not in taken and open_now:
                taken[problem.id] = problem
                idle = 0
            else:
                idle += 1
        return list(taken.values())

    def coming(self, count: int) -> list[Problem]:
        """What `take` would give, as far as is known by now."""
        before = self._epoch, self._cursor, self._draws, self._order
        problems = self.take(count)
        self._epoch, self._cursor, self._draws, self._order = before
        return problems

    def note(self, problem: Problem, accuracy: float) -> None:
        """Remembers a group's mean accuracy."""
        if accuracy in (0.0, 1.0):
            self._settled.add(problem.id)
        else:
            self._settled.discard(problem.id)

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON from which `load_state_dict` goes on exactly."""
        return {
            "epoch": self._epoch,
            "cursor": self._cursor,
            "draws": self._draws,
            "settled": sorted(self._settled),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self._epoch, self._cursor, self._draws = state["epoch"], state["cursor"], state["draws"]
        self._settled = set(state["settled"])
        self._order = self._shuffled()

    def _next(self) -> Problem:
        if self._cursor == len(self._order):
            self._epoch, self._cursor = self._epoch + 1, 0
            self._order = self._shuffled()
        problem = self._problems[self._order[self._cursor]]
        self._cursor += 1
        return problem

    def _shuffled(self) -> list[int]:
        order = list(range(len(self._problems)))
        Random(derive(self._seed, "epoch", self._epoch)).shuffle(order)
        return order
