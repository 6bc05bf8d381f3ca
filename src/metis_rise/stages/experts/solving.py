"""The way of a problem through the experts: attempt by attempt, expert by expert, until a reply is accepted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from metis_rise.engines.server.chat import Said
from metis_rise.engines.server.faults import RequestFailed, ServersGone
from metis_rise.stages.experts.acceptance import Examiner
from metis_rise.stages.experts.budget import BudgetSpent
from metis_rise.stages.experts.free import Solver
from metis_rise.types import Problem, Trajectory

NO_SOLUTION = "no solution"
BUDGET = "budget spent"
FAILED = "call failed"


class Expert(Protocol):
    """Answers problems; `attempts` is how often it may be asked one, `told` whether it knows more than the problem."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def attempts(self) -> int: ...  # noqa: D102

    @property
    def told(self) -> bool: ...  # noqa: D102

    async def answer(self, problem: Problem, attempt: int) -> tuple[Said, ...]:
        """Completions for `problem`, none where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class FreeExpert:
    """A solver that costs nothing, as an expert."""

    name: str
    solver: Solver
    attempts: int = 1
    told: bool = False

    async def answer(self, problem: Problem, attempt: int) -> tuple[Said, ...]:
        """All that the solver says, in order: the next one counts where one is refused."""
        return tuple(Said(text, True) for text in self.solver.replies(problem))


@dataclass(slots=True)
class Outcome:
    """What became of a problem.

    fault: why nothing was accepted; "" with a trajectory, which `expert` wrote in its attempt number `attempt`.
    refused: reasons for which replies were refused, by expert.
    failure: why a call got no reply, if one did not; `gone` when that was because the endpoint is not there.
    """

    problem: Problem
    fault: str = NO_SOLUTION
    trajectory: Trajectory | None = None
    expert: str = ""
    attempt: int = 0
    refused: dict[str, Counter[str]] = field(default_factory=dict)
    failure: str = ""
    gone: bool = False


async def solve(problem: Problem, experts: Sequence[Expert], examine: Examiner) -> Outcome:
    """Ask `experts` in order, each as often as its attempts allow, until a reply passes `examine`.

    A call that fails, or that no budget is left for, ends the attempts of its expert.
    """
    outcome = Outcome(problem)
    for expert in experts:
        try:
            for attempt in range(expert.attempts):
                if await _attempt(outcome, expert, attempt, examine):
                    return outcome
        except BudgetSpent:
            outcome.fault = BUDGET
        except RequestFailed as fault:
            outcome.fault, outcome.failure = FAILED, str(fault)
            outcome.gone |= isinstance(fault, ServersGone)
    return outcome


async def _attempt(outcome: Outcome, expert: Expert, attempt: int, examine: Examiner) -> bool:
    refused = outcome.refused.setdefault(expert.name, Counter())
    for said in await expert.answer(outcome.problem, attempt):
        # In a thread, since judging may take seconds, in which other replies come.
        fault, trajectory = await asyncio.to_thread(
            examine, outcome.problem, said.text, whole=said.whole, told=expert.told
        )
        if trajectory is not None:
            outcome.fault, outcome.trajectory, outcome.expert, outcome.attempt = "", trajectory, expert.name, attempt
            return True
        outcome.fault = fault
        refused[fault] += 1
    return False
