"""Bringing the weights of vLLM servers up to date, and what every way of doing it has in common."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from metis_rise.engines.base import WeightsDiffer
from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.probe import compare
from metis_rise.engines.server.pusher import ProbeRow
from metis_rise.policy.forward import row_logprobs
from metis_rise.policy.model import Policy
from metis_rise.policy.parallel.policy import exhaust
from metis_rise.policy.weights import whole_weights


class DiskPush:
    """Through a folder that trainer and servers see under the same path.

    The weights are written whole, then every server reads them. Two folders take turns: a server that is late still
    reads the one before.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` takes two models, in the precision that the policy computes in."""
        self._folders = itertools.cycle([folder.resolve() / name for name in ("even", "odd")])

    async def push(self, fleet: Fleet, policy: Policy, probe: ProbeRow) -> Mapping[str, float]:
        """See `Pusher.push`; figures: `save_seconds`, and those of `renew`."""
        start = time.perf_counter()
        target = next(self._folders)
        policy.save(target, str(policy.computes_in).removeprefix("torch."))
        saved = time.perf_counter()

        async def load() -> None:
            arguments = {"weights_path": str(target)}
            await fleet.post_each("/collective_rpc", {"method": "reload_weights", "kwargs": arguments})

        figures = await renew(fleet, policy, probe, load)
        return {"save_seconds": saved - start, **figures}


def assist(way: str, policy: Policy) -> None:
    """The part in a push of a process that shares the policy with the one that pushes (engine.push: `way`).

    It gives its parts of the weights, as often as the other takes them, and helps to compute the probe.
    """
    if way == "disk":
        # The one that pushes writes, and knows where.
        policy.save(Path(), str(policy.computes_in).removeprefix("torch."))
    else:
        exhaust(whole_weights(policy, policy.computes_in))
    row_logprobs(policy, [], 1.0, 1)


async def renew(
    fleet: Fleet, policy: Policy, probe: ProbeRow, load: Callable[[], Awaitable[None]]
) -> Mapping[str, float]:
    """Let every live server take up new weights by `load`, and make sure that it has.

    Sampling pauses meanwhile: completions under way are finished with the old weights, those that wait begin with the
    new ones. What servers keep of pictures and prompts was computed with the old weights and is dropped.

    Returns:
        `load_seconds` (the pause), `probe_seconds` and `probe_difference` (`compare`).

    Raises:
        WeightsDiffer: a server has another version afterwards, or computes something else than the policy.
    """
    start = time.perf_counter()
    async with _paused(fleet):
        await load()
        await _forget(fleet)
        await fleet.post_each("/update_weight_version", {"new_version": str(policy.version)})
    loaded = time.perf_counter()
    await _check_version(fleet, policy.version)
    difference = await compare(fleet, policy, probe)
    probed = time.perf_counter()
    return {"load_seconds": loaded - start, "probe_seconds": probed - loaded, "probe_difference": difference}


@contextlib.asynccontextmanager
async def _paused(fleet: Fleet) -> AsyncIterator[None]:
    """Servers that were live at the beginning go on at the end, whatever happened and whether or not they are live."""
    urls = fleet.live
    try:
        await fleet.post_each("/pause?mode=wait")
        yield
    finally:
        await asyncio.gather(*(_resume(fleet, url) for url in urls))


async def _resume(fleet: Fleet, url: str) -> None:
    try:
        await fleet.ask(url, "POST", "/resume")
    except RequestFailed as error:
        fleet.drop(url, f"sampling was paused and does not go on ({error})")


async def _forget(fleet: Fleet) -> None:
    for url, reply in (await fleet.post_each("/reset_prefix_cache")).items():
        if not reply["success"]:
            raise WeightsDiffer(f"{url}: its prefix cache is in use and keeps what the old weights computed")
    await fleet.post_each("/reset_mm_cache")
    await fleet.post_each("/reset_encoder_cache")


async def _check_version(fleet: Fleet, version: int) -> None:
    for url, reply in (await fleet.get_each("/weight_info")).items():
        if reply["weight_version"] != str(version):
            raise WeightsDiffer(f"{url}: has weights version {reply['weight_version']} after a push of {version}")
