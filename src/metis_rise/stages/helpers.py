"""How many helper processes cut up pictures ahead of need, and why."""

from __future__ import annotations

import time
from collections.abc import Sequence

from metis_rise.policy.cutting import cut
from metis_rise.policy.loading import find_folder, pick_device
from metis_rise.policy.processor import load_processor
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import Recipe
from metis_rise.types import Problem

# More than so many for one process leaves it waiting for its own Python.
MOST = 8
# What starting helpers must save at least in one pass over the training pictures.
_WORTH_S = 20.0
_MEASURED = 4


def helpers_for(recipe: Recipe, train: Sequence[Problem], store: ImageStore, cores: int) -> tuple[int, str]:
    """Helpers for each process of the run, and the reason in words.

    Args:
        recipe: says how many in `problems.picture_workers`, where it is not `auto`.
        train: the training problems.
        store: their pictures.
        cores: CPU cores of each process.
    """
    asked = recipe.problems.picture_workers
    if asked != "auto":
        return asked, "problems.picture_workers"
    pictured = [problem for problem in train if problem.images]
    if not pictured:
        return 0, "no training problem has one"
    if pick_device(recipe.model.device).type == "cpu":
        return 0, "the model computes on the same cores"
    if cores < 2:
        return 0, "there is one core"
    total = _seconds(recipe, pictured, store) * sum(len(problem.images) for problem in pictured)
    if total < _WORTH_S:
        return 0, f"all training pictures take {total:.0f} s"
    return min(MOST, cores - 1), f"all training pictures take one process {total:.0f} s"


def _seconds(recipe: Recipe, pictured: Sequence[Problem], store: ImageStore) -> float:
    """For a picture, in the mean over a few."""
    model = recipe.model
    processor = load_processor(find_folder(model.path), model.min_pixels, model.max_pixels).image_processor
    count = min(_MEASURED, len(pictured))
    keys = [pictured[number * len(pictured) // count].images[0] for number in range(count)]
    # The first call pays for what is loaded late.
    cut(processor, store.open(keys[0]))
    began = time.monotonic()
    for key in keys:
        cut(processor, store.open(key))
    return (time.monotonic() - began) / count
