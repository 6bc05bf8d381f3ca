"""The sampling section."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from metis_rise.recipe.base import Part, said


class SamplingConfig(Part):
    """How completions are drawn, in every stage."""

    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of sampled completions; greedy ones do not use it."""

    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling; 1 samples from all tokens, as the policy gradient assumes."""

    top_k: Annotated[int, Field(ge=0)] = 0
    """Sample among the k likeliest tokens; 0 samples among all."""

    max_tokens: Annotated[
        Annotated[int, Field(ge=1)] | Literal["auto"], said("'auto' or a whole number of at least 1")
    ] = 4096
    """Longest completion in tokens; `auto` fits the training problems' own worked solutions."""

    batch_tokens: Annotated[int, Field(ge=1)] = 262_144
    """Token budget of one sampler batch, prompts and longest completions counted."""
