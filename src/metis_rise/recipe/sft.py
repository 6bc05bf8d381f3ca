"""The sft section: stage 5."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]


class SFTStage(Part):
    """One stage of the curriculum."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    """Name of the stage in metrics and reports."""

    data: Annotated[tuple[Literal["self", "expert", "mastered"], ...], Field(strict=False, min_length=1)]
    """Its examples: self-distilled, expert-augmented, or own trajectories of mastered problems."""

    modality: Literal["mixed", "image", "text"] = "mixed"
    """Only problems with pictures, only those without, or both."""

    solve_rates: Annotated[tuple[Share, Share], Field(strict=False)] = (0.0, 1.0)
    """Lowest and highest solve rate, both included, of the problems that it teaches."""

    families: Names = ()
    """Only problems of these families (`family` of the data, else the file's name); none named takes all."""

    subjects: Names = ()
    """Only problems of these subjects (`subject` of the data); none named takes all."""

    levels: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """Only problems of these levels (`level` of the data, where it is a whole number); none named takes all."""

    order: Literal["random", "easy_to_hard", "expert_last"] = "random"
    """Within an epoch: at random, from high solve rates to low ones, or own trajectories before the expert's. Replay
    is spread at random over all of it."""

    replay: NonNegative = 0.0
    """Further examples of what the stage does not teach (mastered and self), relative to its own number."""

    learning_rate: Positive = 1e-5
    """AdamW learning rate after warm-up."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up; `linear` and `cosine` reach 0 at the stage's end."""

    epochs: Count = 1
    """Passes over the stage's examples."""

    batch_size: Count = 32
    """Examples per update."""

    @model_validator(mode="after")
    def _span(self) -> SFTStage:
        low, high = self.solve_rates
        if low > high:
            raise fault("solve_rates", list(self.solve_rates), "must be the lowest rate, then the highest")
        return self


def _default_stages() -> tuple[SFTStage, ...]:
    return (
        SFTStage(name="self", data=("self",), replay=1.0, learning_rate=5e-6, epochs=1, batch_size=64),
        SFTStage(name="expert", data=("expert",), replay=1.0, learning_rate=1e-5, epochs=2, batch_size=64),
    )


class SFTConfig(Part):
    """Supervised fine-tuning in ordered stages."""

    warmup_steps: Annotated[int, Field(ge=0)] = 5
    """Updates over which each stage's learning rate rises from zero."""

    weight_decay: NonNegative = 0.0
    """AdamW weight decay."""

    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this norm."""

    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """AdamW second-moment decay."""

    micro_tokens: Count = 32_768
    """Packed tokens of one forward and backward pass: each prompt counted once, plus all its completions."""

    checkpoint_every: Annotated[int, Field(ge=0)] = 0
    """Save a checkpoint every so many updates of a stage; 0 saves by time alone."""

    checkpoint_minutes: NonNegative = 10.0
    """Save one at the end of an update when the last one is so many minutes old; 0 saves by count alone."""

    keep_checkpoints: Count = 1
    """Newest checkpoints kept; all are deleted when their stage is done."""

    max_bad_updates: Count = 5
    """Updates whose loss or gradient is not finite are skipped; so many in a row end the run."""

    roll_back: bool = True
    """End the curriculum when a stage's dev score falls below the 95 % interval of the best one so far, and go on with
    the best stage's model; false always takes the last one."""

    start_from: Literal["rl", "start"] = "rl"
    """`rl` teaches the model that RL made, `start` the one that the round began with: what RL and diagnosis found is
    then taught to a model that has seen neither, which tells the order of the two apart from what is taught."""

    stages: Annotated[tuple[SFTStage, ...], Field(strict=False, min_length=1)] = Field(default_factory=_default_stages)
    """The curriculum, in order."""

    @model_validator(mode="after")
    def _unique(self) -> SFTConfig:
        names = [stage.name for stage in self.stages]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise fault(f"stages.{index}.name", name, "must be unique; an earlier stage has this name")
        for index, stage in enumerate(self.stages):
            if stage.name == "dev" or stage.name.endswith("-heldout"):
                raise fault(f"stages.{index}.name", stage.name, "must not be dev or end in -heldout: curves' names")
            if len(set(stage.data)) < len(stage.data):
                raise fault(f"stages.{index}.data", list(stage.data), "must name each kind of data once")
        return self
