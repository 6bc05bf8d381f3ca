"""How far RL is: what its checkpoints remember beside weights, optimizer, generators and carried groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from metis_rise.recipe.rl import RLConfig
from metis_rise.stages.collector import Collected


@dataclass(slots=True)
class Progress:
    """Figures of all steps so far, of earlier processes too as far as their last checkpoints.

    seconds: time spent on the stage. trajectories: trained on. dropped: trajectories by the reason. problems: ids of
    those that were sampled.
    """

    step: int = 0
    best_step: int = 0
    best_score: float = -1.0
    short_steps: int = 0
    empty_steps: int = 0
    seconds: float = 0.0
    trajectories: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def count(self, collected: Collected, config: RLConfig) -> None:
        """Counts a step's groups."""
        for reason, groups in collected.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + groups * config.group_size
        self.problems = sorted({*self.problems, *(group.problem.id for group in collected.sampled)})
        self.trajectories += sum(len(kept.group.trajectories) for kept in collected.kept)
        self.empty_steps += not collected.kept
        self.short_steps += 0 < len(collected.kept) < config.prompts_per_step

    def better(self, score: float) -> bool:
        """Whether the present step's score on dev is the best so far, which it then is.

        Of equally good steps the later one: it has learnt more.
        """
        if score < self.best_score:
            return False
        self.best_score, self.best_step = score, self.step
        return True

    def warnings(self) -> Iterator[str]:
        """What is to be told when the last step is done."""
        for number, what in ((self.short_steps, "smaller than asked"), (self.empty_steps, "without any group")):
            if number:
                yield f"{number} of {self.step} steps were {what}: too few problems were solved sometimes"
        if self.step and self.best_step == 0:
            yield "no step scored as well on dev as the base, which therefore goes on to the next stage"
