"""The prompt section."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from metis_rise.recipe.base import Part


class PromptConfig(Part):
    """What is said to the model besides the problem."""

    system: Annotated[str, Field(min_length=1)] | None = "auto"
    """System prompt: `auto` for what the model was trained with (else ours), `rise` for ours, null for none, else a
    text file (a model card's prompt, say)."""
