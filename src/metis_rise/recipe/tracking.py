"""The tracking section: who else is told of a run's figures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from metis_rise.recipe.base import Part

TrackerName = Literal["tensorboard", "trackio", "wandb"]


class TrackingConfig(Part):
    """Trackers that show a run while it goes on, beside its own `metrics.jsonl` and report, which are always there.

    Each is an extra (`pip install 'metis-rise[wandb]'`) with its own settings in its own environment variables, such
    as `WANDB_MODE`, `WANDB_ENTITY` or `TRACKIO_SPACE_ID`. They may be added or left out whenever a run is taken up.
    """

    to: Annotated[tuple[TrackerName, ...], Field(strict=False)] = ()
    """Which: tensorboard (files in the run's `tracking/tensorboard`), trackio, wandb."""

    project: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")] = "metis-rise"
    """The project that trackio and wandb keep the run in."""

    samples: Annotated[int, Field(ge=0, le=100)] = 8
    """Completions, with their question and picture, in each table of samples; 0 sends none, and so no data."""
