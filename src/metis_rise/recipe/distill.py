"""The distill section: stage 3."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from metis_rise.recipe.base import Part


class DistillConfig(Part):
    """Which of the model's own right completions are kept as training examples."""

    per_problem: Annotated[int, Field(ge=1)] = 2
    """Most trajectories kept per problem."""

    check_chains: bool = True
    """Drop right answers whose reasoning is wrong, where a checker exists."""

    max_similarity: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Two trajectories of a problem that are more alike than this count as duplicates."""

    pick: Literal["shortest", "longest", "random"] = "shortest"
    """Which trajectories are kept when there are more than `per_problem`."""
