"""Where more GPUs stop helping: the RL loop simulated with more servers, more trainers, and all splits of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tqdm import tqdm

from metis_rise.cluster.plan import Asked, Plan, relaid
from metis_rise.cluster.simulator import simulate

MOST_GPUS = 1000
# Doubling that makes a step faster by less than this share is of no use.
USEFUL = 0.1
_STEPS = 6


@dataclass(frozen=True, slots=True)
class Point:
    """A layout: nodes that train and that serve; seconds of its step, shares of it that both work; whether it fits."""

    trainers: int
    servers: int
    gpus: int
    step: float
    busy_trainers: float
    busy_servers: float
    fits: bool

    def to_json(self) -> dict[str, Any]:
        """For `rise plan --json`."""
        return {
            "trainer_nodes": self.trainers,
            "server_nodes": self.servers,
            "gpus": self.gpus,
            "step_seconds": float(f"{self.step:.4g}"),
            "trainers_busy": round(self.busy_trainers, 3),
            "servers_busy": round(self.busy_servers, 3),
            "fits": self.fits,
        }


@dataclass(frozen=True, slots=True)
class Scaling:
    """servers, trainers: the same plan with more nodes of one kind. best: the fastest split of more and more nodes.

    servers_until, trainers_until: nodes of that kind beyond which doubling them gains less than `USEFUL`.
    """

    servers: tuple[Point, ...]
    trainers: tuple[Point, ...]
    best: tuple[Point, ...]

    @property
    def servers_until(self) -> int:
        """Server nodes that are still of use."""
        return self.servers[_last_useful(self.servers)].servers

    @property
    def trainers_until(self) -> int:
        """Training nodes that are still of use."""
        return self.trainers[_last_useful(self.trainers)].trainers

    def to_json(self) -> dict[str, Any]:
        """For `rise plan --json`."""
        return {
            "servers_help_until_nodes": self.servers_until,
            "trainers_help_until_nodes": self.trainers_until,
            "servers": [point.to_json() for point in self.servers],
            "trainers": [point.to_json() for point in self.trainers],
            "best": [point.to_json() for point in self.best],
        }


def scaling(plan: Plan, asked: Asked) -> Scaling | None:
    """The scaling of a plan whose servers have nodes of their own, up to `MOST_GPUS`; None for any other."""
    cluster = plan.recipe.cluster
    if cluster.gpu is None or not cluster.server_nodes:
        return None
    serve, most = cluster.server_nodes, MOST_GPUS // cluster.gpus_per_node
    train = cluster.nodes - serve
    servers = tuple(_point(plan, asked, train, each) for each in _said("more servers", serve, most - train))
    trainers = tuple(_point(plan, asked, each, serve) for each in _said("more trainers", train, most - serve))
    best = tuple(_best(plan, asked, nodes) for nodes in _said("more nodes", max(2, cluster.nodes), most))
    return Scaling(servers, trainers, best)


def _said(what: str, first: int, most: int) -> Iterable[int]:
    """`_doubled`, with a progress bar where it takes long."""
    bar: Iterable[int] = tqdm(list(_doubled(first, most)), desc=f"simulating {what}", unit="size", leave=False, delay=2)
    return bar


def _last_useful(points: tuple[Point, ...]) -> int:
    for index, (now, more) in enumerate(pairwise(points)):
        if more.step > (1 - USEFUL) * now.step:
            return index
    return len(points) - 1


def _doubled(first: int, most: int) -> Iterator[int]:
    """`first`, and twice as many again and again up to `most`."""
    yield first
    while 2 * first <= most:
        first *= 2
        yield first


def _best(plan: Plan, asked: Asked, nodes: int) -> Point:
    """The fastest split of `nodes`, tried at eighths; among those that fit where any does."""
    width = plan.layout.tensor_parallel / plan.layout.per_node
    shares = sorted({max(1, round(nodes * eighth / 8)) for eighth in range(1, 8)})
    points = [_point(plan, asked, nodes - serve, serve) for serve in shares if serve < nodes and serve >= width]
    points = points or [_point(plan, asked, nodes - shares[-1], shares[-1])]
    return min(points, key=lambda point: (not point.fits, point.step))


def _point(plan: Plan, asked: Asked, train: int, serve: int) -> Point:
    other = relaid(plan, asked, nodes=train + serve, server_nodes=serve)
    outcome = simulate(other.loop(), _STEPS)
    fits = other.training_memory().fits
    return Point(train, serve, other.layout.gpus, outcome.step, outcome.trainers, outcome.servers, fits)
