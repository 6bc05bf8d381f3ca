"""The judge section: a model that is asked where the rules find two text answers different."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from metis_rise.recipe.base import KeyVariable, Part, Url, fault


class JudgeConfig(Part):
    """An optional model behind an OpenAI-compatible API, which says of text answers whether they mean the same.

    It is asked in diagnosis, of expert solutions and in evaluation, about answers in words that the rules call
    different; never about numbers, formulas and choices, and never in RL: what RL is rewarded by, it learns to fool.
    """

    url: Url | None = None
    """The base address of its API, such as https://HOST/v1; null asks nobody."""

    model: Annotated[str, Field(min_length=1)] | None = None
    """The model's name there; it stands in every verdict that it decided, and beside every score."""

    api_key_env: KeyVariable = ""
    """The environment variable that holds its key (the key itself belongs in no recipe)."""

    concurrency: Annotated[int, Field(ge=1)] = 8
    """Requests in flight."""

    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds after which a request without an answer is given up and asked again."""

    @model_validator(mode="after")
    def _whole(self) -> JudgeConfig:
        if self.url is not None and self.model is None:
            raise fault("model", None, "must be given with judge.url")
        if self.url is None and self.model is not None:
            raise fault("url", None, "must be given with judge.model")
        return self
