"""The diagnose section: stage 2."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault


class DiagnoseConfig(Part):
    """How solve rates sort the training problems into mastered, inconsistent and absent."""

    samples: Annotated[int, Field(ge=1)] = 8
    """Completions per problem (K)."""

    mastered_at: Annotated[float, Field(gt=0, le=1)] = 1.0
    """A problem is mastered at this solve rate or above."""

    absent_at: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """A problem is absent at this solve rate or below."""

    @model_validator(mode="after")
    def _apart(self) -> DiagnoseConfig:
        if self.absent_at >= self.mastered_at:
            raise fault("absent_at", self.absent_at, f"must be below diagnose.mastered_at ({self.mastered_at})")
        return self
