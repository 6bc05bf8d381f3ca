"""Checkpoints of one training: written by count and by time, found again, thinned out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.policy.checkpoint_folders import checkpoint_path, damaged, fault, newest, prune, sweep
from metis_rise.policy.random_state import begin
from metis_rise.run import Run
from metis_rise.stages.hands import Training


@dataclass(slots=True)
class Keeper:
    """Writes the checkpoints of `training` into `folder`.

    every: steps from one to the next; 0 for none by count.
    minutes: time from one to the next; 0 for none by time.
    keep: so many of the newest are kept.
    """

    run: Run
    training: Training
    folder: Path
    every: int
    minutes: float
    keep: int
    _written: float = field(default_factory=time.monotonic)

    def resume(self, seed: int) -> dict[str, Any] | None:
        """Goes on from the newest whole checkpoint: its state; None where there is none, generators then at `seed`.

        Raises:
            InputError: there are checkpoints, and not one of them is whole, or the newest that is cannot be read.
        """
        sweep(self.folder)
        found, faults = newest(self.folder), damaged(self.folder)
        if found is None and faults:
            path, why = list(faults.items())[-1]
            raise InputError(
                f"{path}: the checkpoint is damaged ({why}), and there is no whole one; restore one from a copy, or "
                f"delete all of {self.folder}/checkpoint-*: the training then begins anew"
            )
        for path, why in faults.items():
            self.run.warn(f"{path.relative_to(self.run.path)}: the checkpoint is damaged ({why}), and not used")
        if found is None:
            begin(seed)
            return None
        return self.training.load(found)

    def due(self, step: int) -> bool:
        """Whether `step`, which has just ended, is to be kept."""
        by_count = self.every > 0 and step % self.every == 0
        return by_count or (self.minutes > 0 and time.monotonic() - self._written >= 60 * self.minutes)

    def save(self, step: int, state: dict[str, Any], best: int | None = None) -> None:
        """Keeps `step` with `state`, plain JSON, and of the steps before it the newest and the `best` one."""
        self.training.save(checkpoint_path(self.folder, step), state)
        self._written = time.monotonic()
        prune(self.folder, self.keep, [] if best is None else [checkpoint_path(self.folder, best)])

    def holds(self, step: int) -> bool:
        """Whether `step` is the newest that is kept."""
        return newest(self.folder) == checkpoint_path(self.folder, step)

    def whole(self, step: int) -> Path:
        """The checkpoint of `step`; InputError where it is not whole."""
        path = checkpoint_path(self.folder, step)
        if why := fault(path):
            raise InputError(
                f"{path}: the checkpoint is damaged ({why}); restore it from a copy, or delete all of "
                f"{self.folder}/checkpoint-*: the training then begins anew"
            )
        return path
