"""Experts that cost nothing: the world's programmatic one, and the data's own worked solutions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from metis_rise.problems import world
from metis_rise.problems.world import foreign_expert
from metis_rise.problems.world.chain import completion
from metis_rise.recipe import Recipe
from metis_rise.types import Problem


class Solver(Protocol):
    """Writes completions in the RISE format."""

    def solve(self, problem: Problem) -> str | None:
        """A completion for `problem`, or None when there is none."""
        ...

    def replies(self, problem: Problem) -> tuple[str, ...]:
        """What it answers when asked again and again, until one is accepted; empty when it has nothing to say."""
        ...


class _Sure(ABC):
    """One that says the same however often it is asked."""

    @abstractmethod
    def solve(self, problem: Problem) -> str | None:
        """Its solution; None where there is none."""

    def replies(self, problem: Problem) -> tuple[str, ...]:
        """Its solution, if it has one."""
        text = self.solve(problem)
        return () if text is None else (text,)


class WorldExpert(_Sure):
    """The procedural world's own expert."""

    def solve(self, problem: Problem) -> str | None:
        """A correct chain, for problems of the world."""
        return world.expert(problem) if world.is_world(problem) else None


class ForeignExpert:
    """The world's expert in another style than the base's, and not always right: a stand-in for a real expert."""

    def solve(self, problem: Problem) -> str | None:
        """A correct chain in that style, for problems of the world."""
        return foreign_expert.solution(problem) if world.is_world(problem) else None

    def replies(self, problem: Problem) -> tuple[str, ...]:
        """What it says the first time, and the next times."""
        return foreign_expert.replies(problem) if world.is_world(problem) else ()


class SolutionExpert(_Sure):
    """The worked solution that the data carries."""

    def solve(self, problem: Problem) -> str | None:
        """The solution as reasoning, then the gold answer."""
        return completion(problem.solution.strip(), problem.answer) if problem.solution else None


class FirstOf(_Sure):
    """Asks several in order."""

    def __init__(self, solvers: list[Solver]) -> None:
        self._solvers = solvers

    def solve(self, problem: Problem) -> str | None:
        """The first completion that any of them has."""
        return next((text for e in self._solvers if (text := e.solve(problem)) is not None), None)


FREE_EXPERTS: Mapping[str, Solver] = {
    "world": WorldExpert(),
    "foreign": ForeignExpert(),
    "solution": SolutionExpert(),
}
"""By the names that a recipe gives them."""


def free_expert(recipe: Recipe) -> Solver:
    """The recipe's free experts in order; where it names none, whichever solutions are there without asking anybody."""
    named = [FREE_EXPERTS[entry.name] for entry in recipe.expert.experts if entry.free]
    return FirstOf(named or list(FREE_EXPERTS.values()))
