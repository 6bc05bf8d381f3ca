"""Who writes expert trajectories: anything with `solve(problem) -> completion text`.

Here those that cost nothing: the world's programmatic expert and the data's own worked solutions. A model behind HTTP
is asked about many problems at once: `expert_endpoint`.
"""

from __future__ import annotations

from typing import Protocol

from metis_rise.problems import world
from metis_rise.problems.world.chain import completion
from metis_rise.recipe import Recipe
from metis_rise.types import Problem


class Expert(Protocol):
    """Writes completions in the RISE format."""

    def solve(self, problem: Problem) -> str | None:
        """A completion for `problem`, or None when the expert has none."""
        ...


class WorldExpert:
    """The procedural world's own expert."""

    def solve(self, problem: Problem) -> str | None:
        """A correct chain, for problems of the world."""
        return world.expert(problem) if world.is_world(problem) else None


class SolutionExpert:
    """The worked solution that the data carries."""

    def solve(self, problem: Problem) -> str | None:
        """The solution as reasoning, then the gold answer."""
        return completion(problem.solution.strip(), problem.answer) if problem.solution else None


class FirstOf:
    """Asks several experts in order."""

    def __init__(self, experts: list[Expert]) -> None:
        self._experts = experts

    def solve(self, problem: Problem) -> str | None:
        """The first completion that any of them has."""
        return next((text for e in self._experts if (text := e.solve(problem)) is not None), None)


def make_expert(recipe: Recipe) -> Expert:
    """The expert that the recipe names; for `auto` and `endpoint` whichever solutions are there without asking."""
    kinds: dict[str, Expert] = {"world": WorldExpert(), "solution": SolutionExpert()}
    return kinds.get(recipe.expert.source) or FirstOf(list(kinds.values()))
