"""Weights from GPU to GPU: NCCL broadcasts, arranged through vLLM's weight-transfer API.

Written against the source of vLLM 0.32 (entrypoints/rl/online, distributed/weight_transfer/nccl_engine.py). The calls
are tested against a scripted server; the broadcasts themselves need GPUs of both sides and have not been run yet.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.push import renew
from metis_rise.engines.server.pusher import ProbeRow
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.policy.weights import plain_parameters, whole_weights


class Sender(Protocol):
    """Rank 0 of a group of which all other ranks are GPUs of servers."""

    def invite(self) -> bytes:
        """A new group's id, which every rank needs to join."""
        ...

    def join(self, world_size: int) -> None:
        """Join the group that was invited to last; returns when all of its `world_size` ranks have."""
        ...

    def send(self, tensor: Tensor) -> None:
        """Broadcast `tensor`; all ranks receive in the order of the sends."""
        ...

    def wait(self) -> None:
        """Until everything sent has left this GPU."""
        ...


class CudaSender:
    """A `Sender` on the present CUDA device, by torch's own NCCL."""

    def __init__(self) -> None:
        self._nccl: Any = torch.cuda.nccl
        self._id = b""
        self._group: Any = None

    def invite(self) -> bytes:
        """See `Sender.invite`."""
        self._id = self._nccl.unique_id()
        return self._id

    def join(self, world_size: int) -> None:
        """See `Sender.join`."""
        self._group = self._nccl.init_rank(world_size, self._id, 0)
        # vLLM's side warms up by adding up one float32, and every rank has to take part.
        one = torch.zeros(1, device="cuda")
        self._nccl.all_reduce([one], [one], comms=[self._group])
        self.wait()

    def send(self, tensor: Tensor) -> None:
        """See `Sender.send`."""
        self._nccl.broadcast([tensor.to("cuda").contiguous()], comms=[self._group])

    def wait(self) -> None:
        """See `Sender.wait`."""
        torch.cuda.current_stream().synchronize()


class NcclPush:
    """Over NCCL; servers need `--weight-transfer-config '{"backend": "nccl"}'`, which `rise serve` gives on GPUs.

    The group is made at the first push, and again when other servers take part.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._members: tuple[str, ...] = ()

    async def push(self, fleet: Fleet, policy: Policy, probe: ProbeRow) -> Mapping[str, float]:
        """See `Pusher.push`; figures: `join_seconds`, and those of `renew`.

        Raises:
            InputError: the policy is on no GPU.
        """
        if policy.device.type != "cuda":
            raise InputError(f"engine.push: nccl needs the model on a GPU, it is on {policy.device}; take disk")
        start = time.perf_counter()
        if fleet.live != self._members:
            await self._gather(fleet)
        joined = time.perf_counter()
        figures = await renew(fleet, policy, probe, lambda: self._transfer(fleet, policy))
        return {"join_seconds": joined - start, **figures}

    async def _gather(self, fleet: Fleet) -> None:
        """A group of this process and all GPUs of all live servers; it can only be joined by all at once."""
        if self._members:
            await fleet.post_each("/shutdown_weight_transfer_engine")
        sizes = {url: int(reply["world_size"]) for url, reply in (await fleet.get_each("/get_world_size")).items()}
        first = dict(zip(sizes, itertools.accumulate(sizes.values(), initial=1), strict=False))
        world = 1 + sum(sizes.values())
        invitation = {"nccl_unique_id_b64": base64.b64encode(self._sender.invite()).decode(), "world_size": world}
        bodies = {url: {"init_info": {**invitation, "rank_offset": first[url], "packed": False}} for url in sizes}
        await asyncio.gather(
            asyncio.to_thread(self._sender.join, world),
            *(fleet.ask(url, "POST", "/init_weight_transfer_engine", body) for url, body in bodies.items()),
        )
        self._members = tuple(sizes)

    async def _transfer(self, fleet: Fleet, policy: Policy) -> None:
        weights = plain_parameters(policy)
        described = {
            "names": list(weights),
            "dtype_names": [str(policy.computes_in).removeprefix("torch.")] * len(weights),
            "shapes": [list(value.shape) for value in weights.values()],
        }
        started = await fleet.post_each("/start_weight_update")
        if tuple(started) != self._members:
            # A broadcast to a group that lacks a member never ends.
            gone = ", ".join(sorted(set(self._members) - set(started)))
            self._members = ()
            raise RequestFailed(f"{gone}: went away after it had joined the NCCL group; resume the run")
        # Servers answer when they have received everything, so both go on at once.
        await asyncio.gather(
            fleet.post_each("/update_weights", {"update_info": described}),
            asyncio.to_thread(self._send, policy),
        )
        await fleet.post_each("/finish_weight_update")

    def _send(self, policy: Policy) -> None:
        for _, value in whole_weights(policy, policy.computes_in):
            self._sender.send(value)
        self._sender.wait()
