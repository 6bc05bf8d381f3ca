"""The expert section: stage 4."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from metis_rise.recipe.base import Part


class ExpertConfig(Part):
    """Who solves the absent problems."""

    source: Literal["auto", "world", "solution"] = "auto"
    """The world's programmatic expert, the data's own `solution` field, or whichever the problems have."""

    max_problems: Annotated[int, Field(ge=1)] | None = None
    """Most absent problems given to the expert; null gives all."""
