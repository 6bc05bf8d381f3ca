"""Which processes share one copy of the model."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy

from metis_rise.errors import InputError
from metis_rise.recipe.parallel import ParallelConfig

COPIES, PARTS = "copies", "parts"


def backend_of(device: torch.device) -> str:
    """The backend for `torch.distributed.init_process_group`: also tensors in the host's memory can be sent."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


@dataclass(frozen=True, slots=True)
class Parallel:
    """The processes of torch.distributed's default group as they share a model.

    Attributes:
        mesh: [copies, parts] where there are several copies, else [parts]; parts of one copy are neighbours.
        device: where this process computes.
        offload: keep in the host's memory what is not computed with.
        rank: number of this process among all.
        size: number of processes.
    """

    mesh: DeviceMesh
    device: torch.device
    offload: bool
    rank: int
    size: int

    @classmethod
    def over_world(cls, config: ParallelConfig, device: torch.device) -> Parallel:
        """The processes of the default group, which `torch.distributed.init_process_group` has made.

        Collective. InputError when `parallel.shard_size` does not divide their number.
        """
        if device.type == "cuda":
            torch.cuda.set_device(device)
        rank, size = dist.get_rank(), dist.get_world_size()
        parts = _parts(config, size)
        if parts == size:
            mesh = init_device_mesh(device.type, (size,), mesh_dim_names=(PARTS,))
        else:
            mesh = init_device_mesh(device.type, (size // parts, parts), mesh_dim_names=(COPIES, PARTS))
        return cls(mesh, device, config.offload, rank, size)

    @property
    def leads(self) -> bool:
        """Whether this process writes what all have made."""
        return self.rank == 0

    @property
    def parts(self) -> int:
        """Processes that share one copy."""
        return self.mesh[PARTS].size()

    @property
    def part(self) -> int:
        """Which part of its copy this process keeps."""
        return self.mesh[PARTS].get_local_rank()

    @property
    def offload_policy(self) -> OffloadPolicy:
        """FSDP's setting."""
        return CPUOffloadPolicy(pin_memory=self.device.type == "cuda") if self.offload else OffloadPolicy()

    @property
    def kept_on(self) -> torch.device:
        """Where the parts lie while they are not computed with."""
        return torch.device("cpu") if self.offload else self.device


def _parts(config: ParallelConfig, size: int) -> int:
    if config.shard == "full":
        return size
    if config.shard == "none":
        return 1
    parts = int(os.environ.get("LOCAL_WORLD_SIZE", size)) if config.shard_size is None else config.shard_size
    if size % parts:
        raise InputError(
            f"parallel.shard_size = {parts}: {size} processes cannot share copies of {parts} each; give a divisor of "
            f"{size}, or parallel.shard=full"
        )
    return parts
