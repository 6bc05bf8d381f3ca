"""Adaptive sampling: how many completions each problem gets in which round, given what came so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metis_rise.recipe import Recipe
from metis_rise.stages.accept import own_fault
from metis_rise.stages.solve_rate import Tally, is_settled
from metis_rise.types import Problem, Trajectory


@dataclass(frozen=True, slots=True)
class Draw:
    """`count` completions of a problem in round `number` (from 0), the first of them its sample number `first`."""

    problem: Problem
    number: int
    first: int
    count: int


class Rounds:
    """The samples of every problem, and who needs more.

    Sample numbers below `max_samples` are drawn, `samples` a round; those from there on are reused from RL and take
    the place of the last rounds. What is drawn counts by whole rounds, so a half-written one is drawn again.
    """

    def __init__(self, recipe: Recipe, problems: Sequence[Problem]) -> None:
        """Of `problems`, by the recipe's diagnose and distill."""
        self._config, self._distill = recipe.diagnose, recipe.distill
        self._problems = {problem.id: problem for problem in problems}
        # Per problem and sample number: right and well formed, could be taught.
        self._seen: dict[str, dict[int, tuple[bool, bool]]] = {problem.id: {} for problem in problems}

    def add(self, trajectory: Trajectory) -> None:
        """Takes note of a judged trajectory; of one that was known, what is said last counts."""
        problem = self._problems[trajectory.problem_id]
        usable = not own_fault(problem, trajectory, self._distill)
        self._seen[problem.id][trajectory.sample] = (trajectory.strict, usable)

    def has(self, problem_id: str, sample: int) -> bool:
        """Whether this sample of the problem is known."""
        return sample in self._seen[problem_id]

    def tally(self, problem_id: str) -> Tally:
        """What counts of a problem: its whole rounds, and what was reused."""
        drawn = self._round(problem_id) * self._config.samples
        counted = [
            flags
            for sample, flags in self._seen[problem_id].items()
            if sample < drawn or sample >= self._config.max_samples
        ]
        return Tally(len(counted), sum(right for right, _ in counted), sum(usable for _, usable in counted))

    def due(self) -> list[Draw]:
        """The draws of the earliest round that is not done; none when all problems are settled."""
        draws = [
            self._draw(problem)
            for problem in self._problems.values()
            if not is_settled(self.tally(problem.id), self._config, self._distill.per_problem)
        ]
        earliest = min((draw.number for draw in draws), default=0)
        return [draw for draw in draws if draw.number == earliest]

    def reused(self, problem_id: str) -> int:
        """How many of a problem's samples are RL's."""
        return sum(sample >= self._config.max_samples for sample in self._seen[problem_id])

    def _draw(self, problem: Problem) -> Draw:
        number = self._round(problem.id)
        span = self._span(problem.id, number)
        return Draw(problem, number, span.start, len(span))

    def _round(self, problem_id: str) -> int:
        """The first round that is not whole."""
        number, seen = 0, self._seen[problem_id]
        while (span := self._span(problem_id, number)) and all(sample in seen for sample in span):
            number += 1
        return number

    def _span(self, problem_id: str, number: int) -> range:
        """Sample numbers of a round."""
        end = self._config.max_samples - self.reused(problem_id)
        return range(number * self._config.samples, min((number + 1) * self._config.samples, end))
