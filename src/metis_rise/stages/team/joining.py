"""How processes become a team, and how the team ends: together, whatever ends it.

`torchrun` or `rise run --nproc` starts the same command several times. Rank 0 goes on as if it were alone and leads;
the others serve. What any of them fails with is said once.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from metis_rise import __version__
from metis_rise.errors import InputError
from metis_rise.policy.loading import pick_device
from metis_rise.policy.parallel.mesh import Parallel, backend_of
from metis_rise.recipe import Recipe, resolved
from metis_rise.stages.team import STORE
from metis_rise.stages.team.leading import Team
from metis_rise.stages.team.operations import Station, serve
from metis_rise.stages.team.wire import Channel

T = TypeVar("T")
# Within an operation processes wait for each other so long at most, and for each other's replies so long: sampling runs
# apart, and slow machines may finish far apart. Between operations the leader may be busy for days: an expert stage
# waits for its endpoints.
PATIENCE = timedelta(minutes=30)
REPLIES = timedelta(hours=2)
IDLE = timedelta(days=30)
# After an operation has failed elsewhere: the one that failed says so and ends all.
_GRACE_S = 60.0
_LEADER_S, _OTHERS_S, _LOST_S = 0.05, 0.5, 2.0
_FELL, _FACTS, _FAULT = "metis_rise/fell", "metis_rise/facts", "metis_rise/fault"
_HOST = "host"


def processes() -> int:
    """How many processes this one was started with, by torchrun's environment."""
    # Schedulers set WORLD_SIZE for what they start once too.
    return int(os.environ["WORLD_SIZE"]) if "LOCAL_RANK" in os.environ else 1


def cores() -> int:
    """CPU cores for each process of this machine."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def led(recipe: Recipe, work: Callable[[Team | None], T]) -> T | None:
    """What `work` returns, given the team where there is one; None as a process that only served.

    Raises:
        InputError: processes differ in their packages or recipes, or the node has too few GPUs for them.
    """
    if processes() == 1:
        return work(None)
    with _joined(recipe) as station:
        if not station.channel.leads:
            serve(station)
            return None
        team = Team(station)
        try:
            return work(team)
        finally:
            team.end()


@contextmanager
def _joined(recipe: Recipe) -> Iterator[Station]:
    store, rank, size = _met()
    if rank:
        _be_quiet()
    torch.set_num_threads(recipe.threads or cores())
    torch.manual_seed(recipe.seed)
    try:
        # First of all: processes that differ may not even come to a group.
        shake_hands(store, rank, size, facts_of(recipe))
        device = _device(recipe)
        dist.init_process_group(
            backend_of(device),
            store=PrefixStore("team", store),
            rank=rank,
            world_size=size,
            timeout=PATIENCE,
            device_id=device if device.type == "cuda" else None,
        )
        channel = Channel(*(dist.new_group(backend="gloo", timeout=timeout) for timeout in (IDLE, REPLIES)))
        yield Station(channel, recipe, Parallel.over_world(recipe.parallel, device))
    except BaseException as error:
        reason = _reason(error)
        fall(store, rank, reason)
        raise reason from reason.__cause__
    dist.destroy_process_group()


def _met() -> tuple[Store, int, int]:
    """What all processes write into to find each other, this one's rank and their number."""
    if STORE not in os.environ:
        met: tuple[Store, int, int] = next(rendezvous("env://", timeout=PATIENCE))
        return met
    store: Store = dist.FileStore(os.environ[STORE], processes())  # type: ignore[attr-defined]
    store.set_timeout(PATIENCE)
    return store, int(os.environ["RANK"]), processes()


def fall(store: Store, rank: int, error: BaseException) -> None:
    """Returns in the first process that fails; another one waits for its end, which is near, and says nothing."""
    # Ctrl-C reaches all processes: let it be what the leader ends by, and not that another one is gone. What all fail
    # with is the leader's to say. And who only lost another one leaves that to what watches over both, if it is here.
    time.sleep(_LOST_S if _lost_another(error) else _OTHERS_S if rank else _LEADER_S)
    try:
        first = store.add(_FELL, 1) == 1
    except RuntimeError:
        # The store is gone with the process that started us.
        first = False
    if not first:
        time.sleep(_GRACE_S)
        raise SystemExit(1)
    if _lost_another(error):
        raise RuntimeError("another process of the run has ended, or cannot be reached; run again to go on") from error
    if rank:
        print(f"rank {rank} on {socket.gethostname()}:", file=sys.stderr)


def _reason(error: BaseException) -> BaseException:
    """What came first: whatever tidied up after it may have failed in its turn, since others are gone."""
    while _lost_another(error) and error.__context__ is not None:
        error = error.__context__
    return error


def _lost_another(error: BaseException) -> bool:
    """Whether torch.distributed failed to reach another process."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _be_quiet() -> None:
    """A process that serves says nothing that the leader says too, and leaves Ctrl-C to it: it may finish a step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("metis_rise").setLevel(logging.ERROR)
    # Helper processes are its own.
    logging.getLogger("metis_rise.crew").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")


def _device(recipe: Recipe) -> torch.device:
    device = pick_device(recipe.model.device)
    if device.type != "cuda":
        return device
    local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= there:
        raise InputError(f"{socket.gethostname()}: has {there} GPU(s) for {os.environ['LOCAL_WORLD_SIZE']} processes")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def shake_hands(store: Store, rank: int, size: int, facts: Mapping[str, str]) -> None:
    """InputError, as the leader, when another process has other `facts`; the others just end."""
    store.set(f"{_FACTS}/{rank}", json.dumps(facts))
    if rank == 0:
        fault = _difference([json.loads(store.get(f"{_FACTS}/{other}")) for other in range(size)])
        store.set(_FAULT, json.dumps(fault))
        if fault is not None:
            raise InputError(fault)
    elif json.loads(store.get(_FAULT)) is not None:
        raise SystemExit(2)


def _difference(facts: Sequence[Mapping[str, str]]) -> str | None:
    """Which process differs from the leader in what; None when none does. Their hosts may differ."""
    leader = facts[0]
    for rank, other in enumerate(facts):
        for name in sorted({*leader, *other} - {_HOST}):
            if leader.get(name) != other.get(name):
                return (
                    f"rank {rank} on {other[_HOST]} has {name} = {other.get(name)}, rank 0 on {leader[_HOST]} has "
                    f"{leader.get(name)}: all processes of a run need the same packages and the same recipe"
                )
    return None


def facts_of(recipe: Recipe) -> dict[str, str]:
    """What has to be the same in all processes of a run, and this one's host."""
    return {
        _HOST: socket.gethostname(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "metis-rise": __version__,
        "torch": version("torch"),
        "transformers": version("transformers"),
        "device": pick_device(recipe.model.device).type,
        **dict(_flat(resolved(recipe), "")),
    }


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Dotted keys of a recipe's settings, with their values as JSON text."""
    if not isinstance(value, dict):
        yield key, json.dumps(value)
        return
    for name, child in value.items():
        yield from _flat(child, f"{key}.{name}" if key else name)
