"""Adaptive sampling: how many completions each problem gets in which round, given what came so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def blocks(draws: Sequence[Draw], completions: int) -> Iterator[list[Draw]]:
    """`draws` in their order, as few at a time as have so many `completions` together."""
    block: list[Draw] = []
    there = 0
    for draw in draws:
        block.append(draw)
        there += draw.count
        if there >= completions:
            yield block
            block, there = [], 0
    if block:
        yield block


class Rounds:
    """The samples of every problem, and who needs more.

    Sample numbers below `max_samples` are drawn, `samples` a round; those from there on are reused from RL and take
    the place of the last rounds. What is drawn counts by whole rounds.
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
        return self._tally(problem_id, self._round(problem_id))

    def due(self) -> list[Draw]:
        """All draws of the earliest round that is not done, those that are there too; none when all are settled.

        So a run that was killed within a round sees the same list as one that was not.
        """
        open_ = [key for key in self._problems if not self._settled(key, self._round(key))]
        number = min(map(self._round, open_), default=None)
        if number is None:
            return []
        taking_part = (
            problem
            for key, problem in self._problems.items()
            if self._round(key) >= number and not self._settled(key, number)
        )
        return [self._draw(problem, number) for problem in taking_part]

    def lacks(self, draw: Draw) -> bool:
        """Whether samples of a draw are not known."""
        return not all(self.has(draw.problem.id, draw.first + sample) for sample in range(draw.count))

    def reused(self, problem_id: str) -> int:
        """How many of a problem's samples are RL's."""
        return sum(sample >= self._config.max_samples for sample in self._seen[problem_id])

    def _tally(self, problem_id: str, rounds: int) -> Tally:
        """What counts of a problem after its first `rounds` rounds."""
        drawn = rounds * self._config.samples
        counted = [
            flags
            for sample, flags in self._seen[problem_id].items()
            if sample < drawn or sample >= self._config.max_samples
        ]
        return Tally(len(counted), sum(right for right, _ in counted), sum(usable for _, usable in counted))

    def _settled(self, problem_id: str, rounds: int) -> bool:
        """Whether a problem needed no more samples after its first `rounds` rounds."""
        return is_settled(self._tally(problem_id, rounds), self._config, self._distill.per_problem)

    def _draw(self, problem: Problem, number: int) -> Draw:
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
