"""The engine section: where completions are sampled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, Url, fault


class EngineConfig(Part):
    """Who samples: this process, on the model that is trained, or vLLM servers that are sent its weights."""

    kind: Literal["native", "server"] = "native"
    """`native` samples in process, on the trained model itself; `server` asks the vLLM servers of engine.urls."""

    urls: Annotated[tuple[Url, ...], Field(strict=False)] = ()
    """Addresses of vLLM servers, such as http://host:8000; `rise serve` starts one."""

    concurrency: Annotated[int, Field(ge=1)] = 32
    """Requests in flight per server; one request asks for all completions of a problem."""

    timeout_s: Annotated[float, Field(gt=0)] = 1800.0
    """Seconds after which a request without an answer is given up and asked again."""

    push: Literal["disk", "nccl"] = "disk"
    """How servers get new weights: from a folder that they see under the same path, or GPU to GPU (`nccl`)."""

    weights_folder: Annotated[str, Field(min_length=1)] | None = None
    """Folder that the weights are pushed through with push: disk; null takes one inside the run's folder."""

    @model_validator(mode="after")
    def _addresses(self) -> EngineConfig:
        if self.kind == "server" and not self.urls:
            raise fault("urls", [], "must name at least one server with engine.kind=server")
        if self.kind == "native" and self.urls:
            raise fault("urls", list(self.urls), "must be empty unless engine.kind=server, which asks them")
        if self.push == "nccl" and self.weights_folder is not None:
            raise fault("weights_folder", self.weights_folder, "must be null with engine.push=nccl, which has no files")
        if len(set(self.urls)) < len(self.urls):
            raise fault("urls", list(self.urls), "must name each server once")
        return self
