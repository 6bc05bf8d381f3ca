"""The parallel section: how a run of several processes (`torchrun`, `rise run --nproc`) shares one model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault


class ParallelConfig(Part):
    """How the processes of a run share the model's weights, gradients and optimizer. One process has all of them."""

    shard: Literal["full", "hybrid", "none"] = "full"
    """`full`: each process keeps its part of every weight; least memory. `hybrid`: `shard_size` processes share one
    copy, and there are several copies; less goes between nodes. `none`: each process keeps everything."""

    shard_size: Annotated[int, Field(ge=2)] | None = None
    """Processes that share one copy with `shard: hybrid`; null takes those of one node."""

    offload: bool = False
    """Keep parts of weights, gradients and optimizer in the host's memory while they are not computed with."""

    @model_validator(mode="after")
    def _together(self) -> ParallelConfig:
        if self.shard_size is not None and self.shard != "hybrid":
            allowed = f"goes with parallel.shard=hybrid alone, not with {self.shard}"
            raise fault("shard_size", self.shard_size, allowed)
        return self
