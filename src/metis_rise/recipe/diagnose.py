"""The diagnose section: stage 2."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault


class DiagnoseConfig(Part):
    """How solve rates sort the training problems into mastered, inconsistent and absent.

    Sampling is adaptive: rounds of `samples` completions, up to `max_samples`; a problem leaves when its bucket is
    settled and enough right completions are in hand (distill.per_problem). Equal numbers make it a fixed K.
    """

    samples: Annotated[int, Field(ge=0)] = 4
    """Completions per problem and round."""

    max_samples: Annotated[int, Field(ge=0)] = 16
    """Most completions per problem; no problem is called absent with fewer. 0 samples nothing, and every problem
    counts as absent: experts are then asked about problems drawn at random."""

    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    """A bucket is settled when it is believed with this probability (Beta posterior, Jeffreys' prior)."""

    mastered_at: Annotated[float, Field(gt=0, le=1)] = 1.0
    """A problem is mastered at this solve rate or above."""

    mastered_slack: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Sampling of a mastered problem ends once its rate is believed to be above `mastered_at` less this; 0 with
    `mastered_at: 1` goes on to `max_samples`. With 0.2 and confidence 0.9 that takes 6 right ones and no wrong one."""

    absent_at: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """A problem is absent at this solve rate or below."""

    reuse_rl: bool = False
    """Count what RL sampled with weights close to those of its final model; saves samples, but the older weights
    solved a little less, and RL chose which problems it sampled when."""

    reuse_staleness: Annotated[int, Field(ge=0)] = 10
    """Most updates that the weights of reused completions may lie before the final model's."""

    @model_validator(mode="after")
    def _apart(self) -> DiagnoseConfig:
        if self.absent_at >= self.mastered_at:
            raise fault("absent_at", self.absent_at, f"must be below diagnose.mastered_at ({self.mastered_at})")
        if self.samples == 0 < self.max_samples:
            raise fault("samples", self.samples, "must be above 0 unless diagnose.max_samples is 0")
        if self.samples > self.max_samples:
            raise fault("samples", self.samples, f"must not exceed diagnose.max_samples ({self.max_samples})")
        return self
