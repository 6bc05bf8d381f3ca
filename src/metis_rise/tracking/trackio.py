"""trackio: on this machine (see it with: trackio show), or where `TRACKIO_SPACE_ID` or `TRACKIO_SERVER_URL` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import trackio

from metis_rise.tracking.base import COLUMNS, Sample, TrackedRun


class TrackioRun:
    """One run there, which it knows by its name alone: so the name ends in a piece of the id."""

    def __init__(self, run: TrackedRun) -> None:
        """Creates it, or goes on with the one of the same name."""
        self._run = trackio.init(
            project=run.project,
            name=f"{run.name}-{run.id[:6]}",
            config=dict(run.recipe),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def scalars(self, curve: str, step: int, at: float, values: Mapping[str, float]) -> None:
        """Names such as "rl/reward"."""
        self._run.log({f"{curve}/{name}": value for name, value in values.items()}, step=step)

    def samples(self, name: str, step: int, rows: Sequence[Sample]) -> None:
        """A table with the pictures in it."""
        table = trackio.Table(columns=list(COLUMNS), data=[row.cells(trackio.Image) for row in rows])
        self._run.log({name: table}, step=step)

    def close(self, done: bool) -> None:
        """Waits until all is sent."""
        self._run.finish()


open_tracker = TrackioRun
