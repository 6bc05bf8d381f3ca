"""The engine section: where completions are sampled."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from metis_rise.recipe.base import Part, Url, fault

Addresses = Annotated[tuple[Url, ...], Field(strict=False)]
_ADDRESSES: TypeAdapter[tuple[str, ...]] = TypeAdapter(Addresses)


def _auto_or_list(value: Any, _: ValidatorFunctionWrapHandler) -> Any:
    """What is wrong with one address is said of that address, which a plain union would not do."""
    if value == "auto":
        return value
    if isinstance(value, str):
        raise PydanticCustomError("servers", "must be 'auto' or a list of addresses")
    return _ADDRESSES.validate_python(value)


class EngineConfig(Part):
    """Who samples: this process, on the model that is trained, or vLLM servers that are sent its weights."""

    kind: Literal["native", "server"] = "native"
    """`native` samples in process, on the trained model itself; `server` asks the vLLM servers of engine.urls."""

    urls: Annotated[Literal["auto"] | Addresses, WrapValidator(_auto_or_list)] = ()
    """Addresses of vLLM servers, such as http://host:8000; `rise serve` starts one. `auto` finds those that the files
    of `rise launch` start, by the machines of the Slurm or SkyPilot job (cluster says how many there are)."""

    colocated: bool = False
    """The servers run on the trainer's own GPUs: they sleep while the model is trained (vLLM's sleep mode)."""

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
        given = self.urls if self.urls == "auto" else list(self.urls)
        if self.kind == "server" and not self.urls:
            raise fault("urls", [], "must name at least one server with engine.kind=server")
        if self.kind == "native" and self.urls:
            raise fault("urls", given, "must be empty unless engine.kind=server, which asks them")
        if self.push == "nccl" and self.weights_folder is not None:
            raise fault("weights_folder", self.weights_folder, "must be null with engine.push=nccl, which has no files")
        if self.urls != "auto" and len(set(self.urls)) < len(self.urls):
            raise fault("urls", given, "must name each server once")
        return self

    @model_validator(mode="after")
    def _on_one_gpu(self) -> EngineConfig:
        if self.colocated and self.kind == "native":
            raise fault("colocated", True, "must be false unless engine.kind=server: there is no server")
        if self.colocated and self.push == "nccl":
            raise fault("push", "nccl", "must be disk with engine.colocated: NCCL joins no two processes on one GPU")
        return self
