"""One update of SFT, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metis_rise.stages.bad_updates import BadUpdates
from metis_rise.stages.hands import Hands, Training
from metis_rise.stages.passes import Completion


@dataclass(frozen=True, slots=True)
class Teacher:
    """Teaches batches to a model in training, in passes of at most `budget` tokens."""

    work: Hands
    training: Training
    budget: int
    bad: BadUpdates

    def update(self, batch: Sequence[Completion], learning_rate: float, step: int) -> dict[str, float]:
        """Update `step` (from 1); returns its figures, `examples_left_out` being those that did not fit into memory.

        Raises:
            InputError: it is the last of too many in a row whose loss or gradient is not finite.
        """
        skipped, taught = self.training.skipped, self.work.teach(batch, self.budget)
        problems, norm = [each.problem.id for each in batch], 0.0
        # Where everything was left out there is nothing to learn from.
        if not set(problems) <= set(taught.left_out):
            norm = self.training.step(learning_rate, taught.loss)
            self.bad.note(step, taught.loss, norm, problems, taught.odd, self.training.skipped_in_row)
        return {
            "loss": taught.loss,
            "lr": learning_rate,
            "grad_norm": norm,
            "tokens": sum(len(each.tokens) for each in batch),
            "updates_skipped": self.training.skipped - skipped,
            "examples_left_out": sum(name in taught.left_out for name in problems),
        }
