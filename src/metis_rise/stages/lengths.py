"""How long a completion may be: the recipe's number, or one that fits the data's own solutions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from metis_rise.errors import InputError
from metis_rise.policy.loading import find_folder
from metis_rise.policy.processor import load_processor
from metis_rise.recipe import Recipe
from metis_rise.stages.experts.free import free_expert
from metis_rise.types import Problem

_COVERED = 0.95
_ROUND = 32


def token_counter(model: str) -> Callable[[str], int]:
    """Counts a completion's tokens, the end token included, as `model`'s tokenizer sees it."""
    tokenizer = load_processor(find_folder(model)).tokenizer
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False)) + 1


def fit_max_tokens(recipe: Recipe, train: Sequence[Problem]) -> int:
    """`sampling.max_tokens`; for "auto" what holds 95 % of the training problems' expert solutions, rounded up to 32.

    Raises InputError for "auto" when no training problem has a solution.
    """
    if recipe.sampling.max_tokens != "auto":
        return recipe.sampling.max_tokens
    expert, count = free_expert(recipe), token_counter(recipe.model.path)
    lengths = sorted(count(text) for problem in train if (text := expert.solve(problem)) is not None)
    if not lengths:
        raise InputError("sampling.max_tokens=auto: no training problem has a solution to measure; give a number")
    longest = lengths[math.ceil(_COVERED * len(lengths)) - 1]
    return math.ceil(longest / _ROUND) * _ROUND
