"""How many helper processes cut up pictures ahead of need, and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

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
    asked, model = recipe.problems.picture_workers, recipe.model
    if asked != "auto":
        return asked, "problems.picture_workers"

    def image_processor() -> Any:
        return load_processor(find_folder(model.path), model.min_pixels, model.max_pixels).image_processor

    keys = [key for problem in train for key in problem.images]
    return worth(keys, store, image_processor, pick_device(model.device).type, cores)


def worth(
    keys: Sequence[str], store: ImageStore, image_processor: Callable[[], Any], device: str, cores: int
) -> tuple[int, str]:
    """Helpers that are worth their start for one pass over pictures, and the reason in words.

    Args:
        keys: of the pictures.
        store: that holds them.
        image_processor: gives what cuts them.
        device: where the model computes.
        cores: CPU cores of this process.
    """
    if not keys:
        return 0, "no problem has one"
    if device == "cpu":
        return 0, "the model computes on the same cores"
    if cores < 2:
        return 0, "there is one core"
    total = len(keys) * _seconds(keys, store, image_processor())
    if total < _WORTH_S:
        return 0, f"all take {total:.0f} s"
    return min(MOST, cores - 1), f"all take one process {total:.0f} s"


def _seconds(keys: Sequence[str], store: ImageStore, image_processor: Any) -> float:
    """For a picture, in the mean over a few."""
    count = min(_MEASURED, len(keys))
    few = [keys[number * len(keys) // count] for number in range(count)]
    # The first call pays for what is loaded late.
    cut(image_processor, store.open(few[0]))
    began = time.monotonic()
    for key in few:
        cut(image_processor, store.open(key))
    return (time.monotonic() - began) / count
