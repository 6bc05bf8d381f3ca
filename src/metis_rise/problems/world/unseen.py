"""Problems of the world that lie outside of what a model was trained on, whichever way it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world import HARDEST, SOURCE, encoded, make_problems
from metis_rise.types import Problem

LIGHT: Final = 0.85
"""Brightness of unseen pictures, relative to what they were; those of the world differ by 0.04."""


def unseen_level(levels: Sequence[int], per_family: int, seed: int, store: ImageStore) -> list[Problem]:
    """Test problems one step longer than the longest of `levels`, `per_family` of every family.

    Raises:
        InputError: there are none as long.
    """
    level = max(levels) + 1
    if level > HARDEST:
        raise InputError(
            f"problems.world.levels = {list(levels)}: level {HARDEST} is the last, and none is left unseen"
        )
    return make_problems("test", per_family, seed, store, levels=(level,))


def unseen_light(problems: Sequence[Problem], source: ImageStore, store: ImageStore) -> list[Problem]:
    """The drawn ones of `problems`, each asked of its picture in less light than any picture of the world has.

    All else is as it was, so what differs in the answers is the light's doing. `source` holds their pictures, `store`
    gets the new ones. (Moved by two pixels the shipped base no longer reads them at all, and its vision tower is never
    trained: nothing that is done to it afterwards could be told apart by that.)
    """
    found = []
    for problem in problems:
        if problem.images and problem.source == SOURCE:
            darker = source.open(problem.images[0]).point(lambda value: int(value * LIGHT))
            row = problem.to_json() | {"id": f"{problem.id}-light", "images": [store.put(encoded(darker))]}
            found.append(Problem.from_json(row))
    return found
