"""Which GPUs train and which sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metis_rise.cluster.gpus import GPUS, Gpu
from metis_rise.cluster.memory import Sharding
from metis_rise.errors import InputError
from metis_rise.recipe import Recipe
from metis_rise.recipe.cluster import GpuName


@dataclass(frozen=True, slots=True)
class Layout:
    """gpu: their kind, None for one process on this machine. per_node: GPUs of a node.

    sharding: the ranks that train, and how they share a copy of the weights.
    servers: samplers side by side, of `tensor_parallel` GPUs each. Where no nodes are set apart for them and they are
        not colocated they are elsewhere, on GPUs of the same kind.
    turns: trainers and samplers are the same GPUs and take turns.
    native: the trainers' own processes sample.
    """

    gpu: GpuName | None
    per_node: int
    sharding: Sharding
    servers: int
    tensor_parallel: int
    turns: bool
    native: bool

    @property
    def card(self) -> Gpu | None:
        """The data sheet of its GPUs."""
        return None if self.gpu is None else GPUS[self.gpu]

    @property
    def gpus(self) -> int:
        """All GPUs; 0 without any named."""
        if self.gpu is None:
            return 0
        return self.sharding.ranks + (0 if self.turns else self.servers * self.tensor_parallel)

    def to_json(self) -> dict[str, Any]:
        """For `rise plan --json`."""
        return {
            "gpu": self.gpu,
            "gpus": self.gpus,
            "trainers": self.sharding.ranks,
            "shard": self.sharding.shard,
            "offload": self.sharding.offload,
            "servers": self.servers,
            "tensor_parallel": self.tensor_parallel,
            "in_turns": self.turns,
            "engine": "native" if self.native else "server",
        }


def layout_of(recipe: Recipe) -> Layout:
    """The layout that `recipe` asks for.

    Raises InputError for server nodes without servers.
    """
    cluster, native = recipe.cluster, recipe.engine.kind == "native"
    turns = native or recipe.engine.colocated
    if cluster.gpu is None:
        servers = 1 if native else len(recipe.engine.urls)
        return Layout(None, 1, Sharding(), servers, 1, turns, native)
    if native and cluster.server_nodes:
        raise InputError(
            f"cluster.server_nodes = {cluster.server_nodes}: nothing is served with engine.kind=native; set "
            "engine.kind=server, or cluster.server_nodes=0"
        )
    trainers = (cluster.nodes - cluster.server_nodes) * cluster.gpus_per_node
    samplers = trainers if turns else cluster.server_nodes * cluster.gpus_per_node
    width = 1 if native else cluster.tensor_parallel
    servers = samplers // width or len(recipe.engine.urls)
    return Layout(cluster.gpu, cluster.gpus_per_node, sharding_of(recipe, trainers), servers, width, turns, native)


def sharding_of(recipe: Recipe, trainers: int) -> Sharding:
    """How `trainers` ranks share copies of the weights, by the recipe's part `parallel`.

    InputError for copies that the ranks cannot all have a part of.
    """
    part = recipe.parallel
    if part.shard == "full":
        shard = trainers
    elif part.shard == "hybrid":
        shard = min(trainers, part.shard_size or recipe.cluster.gpus_per_node)
    else:
        shard = 1
    if trainers % shard:
        raise InputError(
            f"parallel.shard_size = {shard}: {trainers} processes cannot share copies of {shard} each; give a divisor "
            f"of {trainers}, or parallel.shard=full"
        )
    # A process by itself shares nothing, and keeps nothing elsewhere.
    return Sharding(trainers, shard, part.offload and trainers > 1)
