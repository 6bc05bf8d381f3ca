"""The three sets of problems that a recipe asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import read_problems
from metis_rise.problems.world import make_problems
from metis_rise.recipe.problems import ProblemsConfig
from metis_rise.seeding import derive
from metis_rise.types import Problem

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class ProblemSets:
    """Problems to train on, to tune on, and to report."""

    train: list[Problem]
    dev: list[Problem]
    test: list[Problem]

    def named(self) -> dict[str, list[Problem]]:
        """The sets by the name of their split."""
        return {"train": self.train, "dev": self.dev, "test": self.test}


def make_sets(config: ProblemsConfig, seed: int, store: ImageStore) -> ProblemSets:
    """The problem sets of a recipe; `seed` decides which training problems become dev problems.

    Raises InputError when a file is faulty, a set is empty, or a test problem is also trained on.
    """
    if config.kind == "world":
        world = config.world
        sizes = {"train": world.train_per_level, "dev": world.dev_per_level, "test": world.test_per_level}
        train, dev, test = (make_problems(split, sizes[split], world.seed, store) for split in SPLITS)
    else:
        train, dev, test = _read_sets(config, seed, store)
    sets = ProblemSets(train[: config.limit_train], dev, test[: config.limit_test])
    _refuse_leaks(config, sets)
    return sets


def _read_sets(
    config: ProblemsConfig, seed: int, store: ImageStore
) -> tuple[list[Problem], list[Problem], list[Problem]]:
    assert config.train is not None and config.test is not None
    train, test = read_problems(Path(config.train), store), read_problems(Path(config.test), store)
    if config.dev is not None:
        return train, read_problems(Path(config.dev), store), test
    count = max(1, round(config.dev_fraction * len(train)))
    if count >= len(train):
        raise InputError(
            f"{config.train}: {len(train)} problems are too few to set dev problems aside; give problems.dev"
        )
    chosen = set(sorted(range(len(train)), key=lambda i: derive(seed, "dev", train[i].id))[:count])
    return (
        [problem for i, problem in enumerate(train) if i not in chosen],
        [problem for i, problem in enumerate(train) if i in chosen],
        test,
    )


def _refuse_leaks(config: ProblemsConfig, sets: ProblemSets) -> None:
    trained = {_content(problem): problem for problem in sets.train}
    for name, others in (("dev", sets.dev), ("test", sets.test)):
        if leaked := [problem for problem in others if _content(problem) in trained]:
            twin = trained[_content(leaked[0])]
            raise InputError(
                f"{config.test if name == 'test' else config.dev or config.train}: {len(leaked)} {name} problem(s) are "
                f"also training problems, the first is {leaked[0].id} (training problem {twin.id}); "
                f"take them out of one of the two files"
            )


def _content(problem: Problem) -> tuple[str, tuple[str, ...], Sequence[str] | None]:
    return problem.question, problem.images, problem.choices
