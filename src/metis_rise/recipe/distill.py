"""The distill section: stage 3."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from metis_rise.recipe.base import Part


class DistillConfig(Part):
    """Which of the model's own right completions are kept as training examples."""

    per_problem: Annotated[int, Field(ge=0)] = 2
    """Most trajectories kept per problem; 0 keeps none, and there is no self-distillation."""

    pick: Literal["shortest", "longest", "median", "likeliest", "diverse", "random"] = "shortest"
    """Which are kept when there are more: by length in tokens (`median`: those nearest to the median), by mean
    log-probability per token, those least alike, or at random."""

    max_similarity: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Two trajectories of a problem that are more alike than this count as duplicates: in pairs of neighbouring words
    and in numbers (Dice's coefficient, the lower of the two)."""

    max_length: Annotated[int, Field(ge=1)] | None = None
    """Longer trajectories, in tokens, are dropped, never cut; null keeps all that ended within sampling.max_tokens."""

    check_chains: bool = True
    """Drop right answers whose reasoning is wrong, where a checker exists."""

    check_conclusion: bool = True
    """Drop right answers whose reasoning announces another result than the one in the box."""
