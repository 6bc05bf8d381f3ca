"""Which of the model's own trajectories may be taught at all."""

from __future__ import annotations

from metis_rise.problems.prompt import control_token
from metis_rise.recipe.distill import DistillConfig
from metis_rise.stages.conclusion import leads_elsewhere
from metis_rise.types import Problem, StopReason, Trajectory

# Written out in a text it would be read as the token itself: the end of a turn, or a picture that is not there.
CONTROL = "holds a chat token"


def own_fault(problem: Problem, trajectory: Trajectory, config: DistillConfig) -> str:
    """Why a judged trajectory of `problem` is not taught, in the words of the counts of dropped ones; "" when it is."""
    verdict = trajectory.verdict
    assert verdict is not None
    if trajectory.stop is StopReason.LENGTH:
        return "cut by length"
    if not verdict.well_formed:
        return "bad format"
    if not verdict.correct:
        return "wrong answer"
    if control_token(trajectory.text):
        return CONTROL
    if config.max_length is not None and len(trajectory.tokens) > config.max_length:
        return "over distill.max_length"
    if config.check_chains and verdict.chain is False:
        return "chain wrong"
    if config.check_conclusion and leads_elsewhere(problem, trajectory.text, verdict.extracted):
        return "reasoning announces another answer"
    return ""
