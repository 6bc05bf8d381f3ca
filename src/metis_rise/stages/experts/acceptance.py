"""What is taken from an expert: every reply is verified, and refused with a reason that is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metis_rise.problems.prompt import control_token
from metis_rise.problems.world import check_chain
from metis_rise.stages.accept import CONTROL
from metis_rise.stages.conclusion import leads_elsewhere
from metis_rise.stages.experts.betrayal import betrayal
from metis_rise.types import Problem, Trajectory
from metis_rise.verifier.judge import judge

CUT_OFF = "cut off by max_tokens"
BAD_FORMAT = "bad format"
WRONG = "wrong answer"
BETRAYS = "betrays the hint"
CONTRADICTS = "reasoning announces another answer"
CHAIN = "chain wrong"
TOO_LONG = "over sampling.max_tokens"


@dataclass(frozen=True, slots=True)
class Examiner:
    """Verifies replies; those of more than `max_tokens` by `count_tokens` could not be learnt whole.

    `settle` gives a judged trajectory the word of the recipe's model judge, if it has one.
    """

    count_tokens: Callable[[str], int]
    max_tokens: int
    settle: Callable[[Problem, Trajectory], Trajectory]

    def __call__(self, problem: Problem, text: str, *, whole: bool, told: bool) -> tuple[str, Trajectory | None]:
        """Why `text` is refused, or "" and the trajectory.

        `whole` is False for a reply that was cut off; `told` says whether its writer knew more than the problem.
        """
        text = text.strip()
        verdict = judge(problem, text, ended=whole)
        trajectory = Trajectory(problem.id, 0, text).judged(verdict, "expert", check_chain(problem, text))
        trajectory = self.settle(problem, trajectory)
        fault = self._fault(problem, trajectory, whole, told)
        return fault, None if fault else trajectory

    def _fault(self, problem: Problem, trajectory: Trajectory, whole: bool, told: bool) -> str:
        verdict, text = trajectory.verdict, trajectory.text
        assert verdict is not None
        if not whole:
            return CUT_OFF
        if not verdict.well_formed:
            return BAD_FORMAT
        if not verdict.correct:
            return WRONG
        if control_token(text):
            return CONTROL
        if told and betrayal(text, problem.question):
            return BETRAYS
        if leads_elsewhere(problem, text, verdict.extracted):
            return CONTRADICTS
        if verdict.chain is False:
            return CHAIN
        return TOO_LONG if self.count_tokens(text) > self.max_tokens else ""
