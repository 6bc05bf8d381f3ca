"""The cluster section: what is asked of the machines, for `rise plan` and the launch files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault

GpuName = Literal["a100-40gb", "a100-80gb", "h100-80gb", "h200-141gb", "b200-180gb", "l40s-48gb", "rtx4090-24gb"]
Count = Annotated[int, Field(ge=1)]


class ClusterConfig(Part):
    """The machines that a run is meant for. The defaults mean one process on this machine."""

    gpu: GpuName | None = None
    """The kind of GPU in every node; null is one process on this machine, whatever it has."""

    nodes: Count = 1
    """Machines."""

    gpus_per_node: Count = 8
    """GPUs in each of them."""

    server_nodes: Annotated[int, Field(ge=0)] = 0
    """Nodes that only sample, with vLLM servers; the others train. With 0 all GPUs do both in turn."""

    tensor_parallel: Count = 1
    """GPUs of one vLLM server, which share its weights."""

    @model_validator(mode="after")
    def _together(self) -> ClusterConfig:
        if self.gpu is None and self.nodes > 1:
            raise fault("gpu", None, f"must name the kind of GPU with cluster.nodes={self.nodes}")
        if self.server_nodes >= self.nodes and self.server_nodes > 0:
            allowed = f"must be below cluster.nodes ({self.nodes}), so that a node is left to train"
            raise fault("server_nodes", self.server_nodes, allowed)
        if self.gpus_per_node % self.tensor_parallel and self.tensor_parallel % self.gpus_per_node:
            allowed = f"must divide cluster.gpus_per_node ({self.gpus_per_node}) or be a multiple of it"
            raise fault("tensor_parallel", self.tensor_parallel, allowed)
        if self.tensor_parallel > (self.server_nodes or self.nodes) * self.gpus_per_node:
            allowed = "must not exceed the GPUs that sample (cluster.server_nodes x cluster.gpus_per_node)"
            raise fault("tensor_parallel", self.tensor_parallel, allowed)
        return self
