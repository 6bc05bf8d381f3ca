"""A cell of the experiment: one arm, from one base, with one seed; what it runs, and by what it is known."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metis_rise.ablation.arms import Arm, Leg, overrides
from metis_rise.recipe import Recipe, load_recipe, resolved
from metis_rise.recipe.compare import settings
from metis_rise.recipe.root import MAY_CHANGE
from metis_rise.run import STAGES, round_name

MODEL = "model"
TINY = "tiny"
NOT_THE_ARM = frozenset({"name", "seed", "model.path"})
"""What a cell's seed and base change, and names: no part of what an arm is."""


@dataclass(frozen=True, slots=True)
class Base:
    """A model that arms begin with; `name` is what results call it."""

    name: str
    path: str

    @classmethod
    def of(cls, path: str) -> Base:
        """`tiny`, a folder by its name, or a hub id."""
        # A folder is the same one however it is written.
        found = str(Path(path).resolve()) if path != TINY and Path(path).is_dir() else path
        return cls(re.sub(r"[^A-Za-z0-9_-]+", "-", Path(found).name).strip("-") or "base", found)


@dataclass(frozen=True, slots=True)
class Planned:
    """A leg as a run: its recipe, and the stage that it ends with."""

    recipe: Recipe
    last: str

    def model(self, root: Path) -> Path:
        """The folder of the model that it makes, below the folder of all runs."""
        run = root / self.recipe.name
        home = run if self.recipe.rounds == 1 else run / round_name(self.recipe.rounds)
        return home / next(stage for stage in STAGES if stage.endswith(f"-{self.last}")) / MODEL


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm from one base with one seed."""

    arm: Arm
    base: Base
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """By what results know it."""
        return self.arm.name, self.base.name, self.seed

    @property
    def ending(self) -> str:
        """What the names of all runs of this base and seed end in."""
        return f".{self.base.name}.{self.seed}"

    @property
    def name(self) -> str:
        """What its runs are called, but for the number of the leg."""
        return f"{self._arm}{self.ending}"

    @property
    def _arm(self) -> str:
        # An arm that was changed, or tried with other settings, is another run.
        return f"{self.arm.name.replace('@', '-at-')}-{identity(self.arm)[:6]}"

    def legs(self, root: Path) -> list[Planned]:
        """Its runs, in order, each from the model of the one before, in the folder `root` of all runs."""
        found: list[Planned] = []
        for number, leg in enumerate(self.arm.legs, 1):
            start = self.base.path if not found else str(found[-1].model(root))
            found.append(Planned(self._recipe(leg, f"{self._arm}.{number}{self.ending}", start), leg.last))
        return found

    def _recipe(self, leg: Leg, name: str, model: str) -> Recipe:
        own = [f"name={json.dumps(name)}", f"seed={self.seed}", f"model.path={json.dumps(model)}"]
        return load_recipe(self.arm.recipe, [*overrides(leg.settings), *own])


def identity(arm: Arm) -> str:
    """A hash of all that an arm does, the same for every base and seed, and whatever computes it."""
    legs = [
        [leg.last, settings(resolved(load_recipe(arm.recipe, overrides(leg.settings))), NOT_THE_ARM | MAY_CHANGE)]
        for leg in arm.legs
    ]
    return hashlib.sha256(json.dumps(legs, sort_keys=True).encode()).hexdigest()[:12]


def cells(arms: Sequence[Arm], bases: Sequence[Base], seeds: Sequence[int]) -> Iterator[Cell]:
    """All cells: of each seed and base all arms, which then find each other's stages."""
    return (Cell(arm, base, seed) for seed in seeds for base in bases for arm in arms)
