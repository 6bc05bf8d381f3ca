"""The three numbers that say how a stage goes, for the live view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metis_rise.stages.experts.solving import Outcome
from metis_rise.types import Trajectory


@dataclass(slots=True)
class SoFar:
    """Counts of judged trajectories; one that the sampler gave up counts as what it is, a wrong one."""

    samples: int = 0
    right: int = 0
    well_formed: int = 0
    tokens: int = 0

    def add(self, trajectories: Sequence[Trajectory]) -> dict[str, str]:
        """What all together come to, for people: the share that is right, the share well formed, the mean length."""
        self.samples += len(trajectories)
        self.right += sum(t.strict for t in trajectories)
        self.well_formed += sum(t.verdict is not None and t.verdict.well_formed for t in trajectories)
        self.tokens += sum(len(t.tokens) for t in trajectories)
        count = max(1, self.samples)
        return {
            "right": f"{100 * self.right / count:.1f}%",
            "format": f"{100 * self.well_formed / count:.1f}%",
            "tokens": f"{self.tokens / count:.0f}",
        }


@dataclass(slots=True)
class SolvedSoFar:
    """Counts of what experts made of problems."""

    solved: int = 0
    unsolved: int = 0
    refused: int = 0

    def add(self, outcome: Outcome) -> dict[str, str]:
        """What all together come to, for people: problems solved and not, and replies that were refused."""
        if outcome.trajectory is None:
            self.unsolved += 1
        else:
            self.solved += 1
        self.refused += sum(reasons.total() for reasons in outcome.refused.values())
        said = {"solved": self.solved, "unsolved": self.unsolved, "replies refused": self.refused}
        return {name: f"{number:,}" for name, number in said.items()}


def update_said(values: Mapping[str, float]) -> dict[str, str]:
    """What an SFT update's figures say, for people: the loss, the gradient's norm, the tokens that were learnt from."""
    loss, norm, tokens = values["loss"], values["grad_norm"], values["tokens"]
    return {"loss": f"{loss:.3f}", "gradient norm": f"{norm:.2f}", "tokens": f"{tokens:.0f}"}
