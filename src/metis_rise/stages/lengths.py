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
# Of more solutions so many are measured, spread evenly: their share that fits is known to half a percent.
_MEASURED = 10_000


def token_counter(model: str) -> Callable[[str], int]:
    """Counts a completion's tokens, the end token included, as `model`'s tokenizer sees it."""
    tokenizer = load_processor(find_folder(model)).tokenizer
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False)) + 1


def fit_max_tokens(recipe: Recipe, train: Sequence[Problem]) -> int:
    """`sampling.max_tokens`; for "auto" what holds 95 % of the training problems' expert solutions, rounded up to 32.

    Of more than 10,000 solutions a part is measured.

    Raises InputError for "auto" when no training problem has a solution.
    """
    if recipe.sampling.max_tokens != "auto":
        return recipe.sampling.max_tokens
    expert = free_expert(recipe)
    solved = [problem for problem in train if expert.solve(problem) is not None]
    if not solved:
        raise InputError("sampling.max_tokens=auto: no training problem has a solution to measure; give a number")
    texts = [text for problem in _spread(solved) if (text := expert.solve(problem)) is not None]
    lengths = sorted(_lengths(recipe.model.path, texts))
    longest = lengths[math.ceil(_COVERED * len(lengths)) - 1]
    return math.ceil(longest / _ROUND) * _ROUND


def _lengths(model: str, texts: Sequence[str]) -> list[int]:
    """What `token_counter` counts of each text."""
    # In one call the tokenizer uses all cores.
    encoded = load_processor(find_folder(model)).tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [len(ids) + 1 for ids in encoded]


def _spread(problems: Sequence[Problem]) -> list[Problem]:
    """At most `_MEASURED` of them."""
    count = min(len(problems), _MEASURED)
    return [problems[number * len(problems) // count] for number in range(count)]
