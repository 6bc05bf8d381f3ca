"""How long the prompts of problems get in tokens, as a recipe has its model read them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from metis_rise.cluster.facts import find_facts
from metis_rise.cluster.prompts import PromptSizes
from metis_rise.problems.prompt import option_lines, without_markers
from metis_rise.recipe import Recipe
from metis_rise.types import Problem


class Lengths:
    """Measures problems one by one; what is counted exactly and what is assumed says `note`."""

    def __init__(self, recipe: Recipe) -> None:
        """As `recipe` sets pixels, system prompt and token budgets. InputError where its model's config is not here."""
        self._sizes = PromptSizes(recipe, find_facts(recipe.model.path).vision)
        self._text, self._image = array("f"), array("f")
        self._shrunk = self._longer = 0
        longest = recipe.sampling.max_tokens
        budget = min(recipe.rl.micro_tokens, recipe.sft.micro_tokens)
        self._room = None if longest == "auto" else budget - longest
        self._model = recipe.model.path
        self.note = self._sizes.note.removeprefix(", ")

    def add(self, problem: Problem, sizes: Sequence[tuple[int, int]]) -> None:
        """A problem whose pictures have these widths and heights."""
        words = "\n".join(filter(None, (without_markers(problem.question), option_lines(problem.choices))))
        text, image = self._sizes.text(words), sum(map(self._sizes.picture, sizes))
        self._text.append(text)
        self._image.append(image)
        self._shrunk += sum(width * height > self._sizes.most for width, height in sizes)
        self._longer += self._room is not None and text + image > self._room

    def to_json(self) -> dict[str, Any]:
        """Tokens of prompts; `room` is what rl.micro_tokens and sft.micro_tokens leave beside a completion."""
        text, image = np.array(self._text), np.array(self._image)
        return {
            "model": self._model,
            "prompt": spread(text + image),
            "image": spread(image),
            "text": spread(text),
            "pictures_shrunk": self._shrunk,
            "room": self._room,
            "longer_than_room": self._longer,
            "note": self.note,
        }


def spread(values: Any) -> dict[str, int] | None:
    """Median, 95th percentile and extremes of an array, None of an empty one."""
    if not len(values):
        return None
    low, middle, high, most = np.percentile(values, (0, 50, 95, 100))
    return {"least": round(low), "median": round(middle), "p95": round(high), "most": round(most)}
