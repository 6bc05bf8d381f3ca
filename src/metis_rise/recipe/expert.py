"""The expert section: stage 4."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, Url, fault


class ExpertConfig(Part):
    """Who solves the absent problems."""

    source: Literal["auto", "world", "solution", "endpoint"] = "auto"
    """The world's programmatic expert, the data's own `solution` field, whichever the problems have, or a stronger
    model behind an OpenAI-compatible API."""

    max_problems: Annotated[int, Field(ge=1)] | None = None
    """Most absent problems given to the expert; null gives all."""

    url: Url | None = None
    """Of an endpoint: the base address of its API, such as https://HOST/v1."""

    model: Annotated[str, Field(min_length=1)] | None = None
    """Of an endpoint: the model's name there."""

    api_key_env: str = ""
    """Of an endpoint: the environment variable that holds its key (the key itself belongs in no recipe)."""

    concurrency: Annotated[int, Field(ge=1)] = 8
    """Of an endpoint: requests in flight."""

    samples: Annotated[int, Field(ge=1)] = 1
    """Of an endpoint: answers asked for per problem; the first that is verified is kept."""

    temperature: Annotated[float, Field(ge=0)] | None = None
    """Of an endpoint: sampling temperature; null leaves it to the endpoint."""

    @model_validator(mode="after")
    def _endpoint(self) -> ExpertConfig:
        for key, value in (("url", self.url), ("model", self.model)):
            if self.source == "endpoint" and value is None:
                raise fault(key, value, "must be given with expert.source=endpoint")
            if self.source != "endpoint" and value is not None:
                raise fault(key, value, "must be null unless expert.source=endpoint, which asks it")
        return self
