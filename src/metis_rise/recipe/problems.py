"""The problems section."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault

Count = Annotated[int, Field(ge=1)]


class WorldConfig(Part):
    """How many problems of the procedural world are made."""

    train_per_level: Count = 40
    """Training problems per family and level."""

    dev_per_level: Count = 12
    """Development problems per family and level."""

    test_per_level: Count = 36
    """Test problems per family and level."""

    levels: Annotated[tuple[Annotated[int, Field(ge=1, le=5)], ...], Field(strict=False, min_length=1)] = (1, 2, 3)
    """Its levels, each one step of reasoning longer; the shipped base model has seen 1 to 3."""

    told: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the training problems of drawn families that have no picture: what it would show is told in words."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the world; the same seed makes the same bytes."""

    @model_validator(mode="after")
    def _once(self) -> WorldConfig:
        if len(set(self.levels)) < len(self.levels):
            raise fault("levels", list(self.levels), "must name each level once")
        return self


class ProblemsConfig(Part):
    """Where the problems come from."""

    kind: Literal["world", "jsonl"] = "jsonl"
    """`world` draws the procedural world, `jsonl` reads your files: JSONL, parquet and others (docs/data.md)."""

    world: WorldConfig = Field(default_factory=WorldConfig)
    """Sizes of the procedural world, for kind world."""

    train: str | None = None
    """File of training problems, for kind jsonl."""

    dev: str | None = None
    """File of development problems; null takes `dev_fraction` of train."""

    test: str | None = None
    """File of test problems, for kind jsonl."""

    dev_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training problems set aside as development problems when `dev` is null."""

    skip_bad: bool = False
    """Leave out rows of a file that cannot be used, such as those with an ambiguous gold answer, counted by reason;
    without it they end the command."""

    picture_workers: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    """Helper processes that decode and cut up pictures ahead of need, for each process of the run; 0 for none. auto
    takes up to 8 where a GPU computes, other cores are free and the pictures take long enough."""

    limit_train: Count | None = None
    """Take only the first N training problems; null takes all."""

    limit_test: Count | None = None
    """Take only the first N test problems; null takes all."""

    @model_validator(mode="after")
    def _paths(self) -> ProblemsConfig:
        paths = {"train": self.train, "dev": self.dev, "test": self.test}
        if self.kind == "world":
            for key, value in paths.items():
                if value is not None:
                    raise fault(key, value, "must be null for problems.kind=world; files need problems.kind=jsonl")
            if self.skip_bad:
                raise fault("skip_bad", True, "must be false for problems.kind=world, whose problems are not read")
            return self
        for key in ("train", "test"):
            if not paths[key]:
                raise fault(
                    key,
                    paths[key],
                    "must be a JSONL file, there is no default path: "
                    "rise run user_jsonl problems.train=PATH problems.test=PATH",
                )
        return self
