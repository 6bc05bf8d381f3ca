"""The three sets of problems that a recipe asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import GoldCheck, read_problems
from metis_rise.problems.sources import Opener, jsonl_source
from metis_rise.problems.world import make_problems
from metis_rise.recipe.problems import ProblemsConfig
from metis_rise.seeding import derive
from metis_rise.types import Problem

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class ProblemSets:
    """Problems to train on, to tune on, and to report.

    `dropped` counts, by file, the bad rows that were left out by reason; a run's own files know nothing of them.
    """

    train: list[Problem]
    dev: list[Problem]
    test: list[Problem]
    dropped: Mapping[str, Counter[str]] = field(default_factory=dict)

    def named(self) -> dict[str, list[Problem]]:
        """The sets by the name of their split."""
        return {"train": self.train, "dev": self.dev, "test": self.test}


def make_sets(
    config: ProblemsConfig,
    seed: int,
    store: ImageStore,
    check_gold: GoldCheck | None = None,
    opener: Opener = jsonl_source,
) -> ProblemSets:
    """The problem sets of a recipe; `seed` decides which training problems become dev problems.

    `check_gold` says of a gold answer in a file why it cannot be judged, `opener` opens the files. Raises InputError
    when a file is faulty (with `skip_bad`: when none of its rows is left), when two sets share an id, or when they
    share a problem.
    """
    files = _Files(store, check_gold, config.skip_bad, opener)
    if config.kind == "world":
        world = config.world
        sizes = {"train": world.train_per_level, "dev": world.dev_per_level, "test": world.test_per_level}
        told = {"train": world.told}
        train, dev, test = (
            make_problems(split, sizes[split], world.seed, store, levels=world.levels, told=told.get(split, 0.0))
            for split in SPLITS
        )
    else:
        train, dev, test = _read_sets(config, seed, files)
    sets = ProblemSets(train[: config.limit_train], dev, test[: config.limit_test], files.dropped)
    _refuse_shared_ids(sets)
    _refuse_leaks(config, sets)
    return sets


@dataclass(frozen=True, slots=True)
class _Files:
    """Reads problem files, and counts by file what was left out."""

    store: ImageStore
    check_gold: GoldCheck | None
    skip_bad: bool
    opener: Opener
    dropped: dict[str, Counter[str]] = field(default_factory=dict)

    def read(self, path: str) -> list[Problem]:
        left_out: Counter[str] = Counter()
        dropped = left_out if self.skip_bad else None
        problems = read_problems(Path(path), self.store, self.check_gold, dropped, self.opener)
        if left_out:
            self.dropped[path] = left_out
        return problems


def _read_sets(config: ProblemsConfig, seed: int, files: _Files) -> tuple[list[Problem], list[Problem], list[Problem]]:
    assert config.train is not None and config.test is not None
    train, test = files.read(config.train), files.read(config.test)
    if config.dev is not None:
        return train, files.read(config.dev), test
    # Rows with equal content stay together, else one of them would be trained on and its twin tuned on.
    contents = sorted(dict.fromkeys(map(_content, train)), key=lambda content: derive(seed, "dev", repr(content)))
    count = max(1, round(config.dev_fraction * len(contents)))
    if count >= len(contents):
        raise InputError(
            f"{config.train}: {len(train)} problems are too few to set dev problems aside; give problems.dev"
        )
    chosen = set(contents[:count])
    dev = [problem for problem in train if _content(problem) in chosen]
    return [problem for problem in train if _content(problem) not in chosen], dev, test


def _refuse_shared_ids(sets: ProblemSets) -> None:
    owner: dict[str, str] = {}
    for name, problems in sets.named().items():
        for problem in problems:
            if owner.setdefault(problem.id, name) != name:
                raise InputError(
                    f"problem id {problem.id!r} is used by a {owner[problem.id]} and by a {name} problem; "
                    f"give every problem an id of its own over all files"
                )


def _refuse_leaks(config: ProblemsConfig, sets: ProblemSets) -> None:
    files = {"train": config.train, "dev": config.dev or config.train, "test": config.test}
    named = sets.named()
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        known = {_content(problem): problem for problem in named[first]}
        if leaked := [problem for problem in named[second] if _content(problem) in known]:
            twin = known[_content(leaked[0])]
            raise InputError(
                f"{files[second]}: {len(leaked)} {second} problem(s) are also {first} problems, the first is "
                f"{leaked[0].id} ({first} problem {twin.id}); take them out of one of the two sets"
            )


def _content(problem: Problem) -> tuple[str, tuple[str, ...], tuple[str, ...] | None]:
    return problem.question, problem.images, problem.choices
