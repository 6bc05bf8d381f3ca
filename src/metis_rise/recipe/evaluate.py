"""The evaluate section: stage 6."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault


class EvaluateConfig(Part):
    """How the base, RL and RISE models are compared on the test problems."""

    greedy: bool = True
    """Score the likeliest completion of each problem."""

    sampled: bool = True
    """Score one completion per problem sampled with the settings of `sampling`."""

    limit: Annotated[int, Field(ge=1)] | None = None
    """Take only the first N test problems; null takes all."""

    benchmarks: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = ()
    """Benchmarks that the three models answer too, greedy: mathvista, mathvision, mathverse, dynamath, wemath,
    logicvista, or `all` for these six."""

    data: Annotated[str, Field(min_length=1)] | None = None
    """Their data file, or the folder that their files are in; null takes $LMUData, else ~/LMUData."""

    @model_validator(mode="after")
    def _some(self) -> EvaluateConfig:
        if not (self.greedy or self.sampled):
            raise fault("greedy", False, "must be true when evaluate.sampled is false; there is nothing to score")
        return self
