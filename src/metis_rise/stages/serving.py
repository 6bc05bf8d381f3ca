"""The engine that a recipe asks for."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from metis_rise.engines.base import Engine
from metis_rise.engines.native import NativeEngine
from metis_rise.engines.server.check import check_there
from metis_rise.engines.server.discovery import find_servers
from metis_rise.engines.server.engine import ServerEngine
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.nccl import CudaSender, NcclPush
from metis_rise.engines.server.push import DiskPush
from metis_rise.engines.server.pusher import Pusher
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.problems.dataset import ProblemSets
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import Recipe
from metis_rise.run import Run
from metis_rise.types import Problem

# Where weights are pushed through when the recipe names no folder: in the run's.
SERVED = "served"


@dataclass(slots=True)
class Turn:
    """What the benches of a run know of the servers that they share.

    owner: the mark of the bench whose weights they hold; None before the first push.
    checked: whether they were found fit for the work.
    pusher: what brings them weights, whose policy it may be.
    """

    owner: object = None
    checked: bool = False
    pusher: Pusher | None = None


def make_engine(
    recipe: Recipe,
    run: Run,
    sets: ProblemSets,
    store: ImageStore,
    policy: Policy,
    encode: Callable[[Problem], Prompt],
    turn: Turn,
) -> Engine:
    """An engine that samples `policy`; `encode` turns a problem, its pictures in `store`, into the prompt it sees."""
    if recipe.engine.kind == "native":
        return NativeEngine(policy, encode, recipe.sampling.batch_tokens)
    if turn.pusher is None:
        turn.pusher = _pusher(recipe, run)

    settings = _settings(recipe)
    return ServerEngine(policy, encode, store.read, settings, turn.pusher, _probe(sets), run.warn, _make_room)


def _make_room() -> None:
    """Gives the GPU's memory that torch keeps for later back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def check_servers(recipe: Recipe) -> None:
    """InputError where the recipe names a server that does not answer; what it serves is not looked at yet."""
    if recipe.engine.kind == "server":
        asyncio.run(_check_there(_settings(recipe)))


async def _check_there(settings: ServerSettings) -> None:
    fleet = Fleet(settings)
    try:
        await check_there(fleet)
    finally:
        await fleet.close()


def _settings(recipe: Recipe) -> ServerSettings:
    config = recipe.engine
    return ServerSettings(
        server_urls(recipe),
        concurrency=config.concurrency,
        timeout_s=config.timeout_s,
        colocated=config.colocated,
    )


def server_urls(recipe: Recipe) -> tuple[str, ...]:
    """The servers that the recipe names, or those of the job that this process is part of (engine.urls: auto)."""
    urls = recipe.engine.urls
    return find_servers(recipe.cluster, os.environ) if urls == "auto" else urls


def drop_served(run: Run) -> None:
    """Remove the weights that were pushed through the run's folder: servers have read them, and they are large."""
    shutil.rmtree(run.path / SERVED, ignore_errors=True)


def _pusher(recipe: Recipe, run: Run) -> Pusher:
    if recipe.engine.push == "nccl":
        return NcclPush(CudaSender())
    folder = recipe.engine.weights_folder
    return DiskPush(run.path / SERVED if folder is None else Path(folder).expanduser())


def _probe(sets: ProblemSets) -> Problem:
    """A problem for comparing servers and policy: one with a picture, so that the vision tower takes part."""
    return next((problem for problem in sets.train if problem.images), sets.train[0])
