"""Weights & Biases. `WANDB_MODE=offline` keeps everything in the run's folder, for `wandb sync` later."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import wandb

from metis_rise.tracking.base import COLUMNS, Sample, TrackedRun


class WandbRun:
    """One run there; what it counts as steps is the number of items sent, each curve set has its own step beside."""

    def __init__(self, run: TrackedRun) -> None:
        """Creates it, or goes on with the one of the same id."""
        # Pictures of tables wait there to be sent, for `wandb sync` as long as it takes.
        os.environ.setdefault("WANDB_DATA_DIR", str(run.folder / "wandb"))
        self._run = wandb.init(
            project=run.project,
            name=run.name,
            id=run.id,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.recipe),
            settings=wandb.Settings(console="off"),
        )
        # Numbers go on where the last attempt ended: rows of smaller ones are refused.
        self._next = run.sent
        self._known: set[str] = set()

    def scalars(self, curve: str, step: int, at: float, values: Mapping[str, float]) -> None:
        """Names such as "rl/reward", drawn over "rl/step"."""
        self._log(curve, step, {f"{curve}/{name}": value for name, value in values.items()})

    def samples(self, name: str, step: int, rows: Sequence[Sample]) -> None:
        """A table with the pictures in it."""
        table = wandb.Table(columns=list(COLUMNS), data=[row.cells(wandb.Image) for row in rows])
        self._log(name, step, {f"{name}/table": table})

    def close(self, done: bool) -> None:
        """Waits until all is sent; a run that was stopped is shown as failed until it is taken up."""
        self._run.finish(exit_code=0 if done else 1)

    def _log(self, name: str, step: int, values: Mapping[str, Any]) -> None:
        if name not in self._known:
            self._run.define_metric(f"{name}/step", hidden=True)
            self._run.define_metric(f"{name}/*", step_metric=f"{name}/step")
            self._known.add(name)
        self._run.log({f"{name}/step": step, **values}, step=self._next)
        self._next += 1


open_tracker = WandbRun
