"""What processes of a team say to each other: JSON and tensors, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor

_LEADER = 0


@dataclass(frozen=True, slots=True)
class Message:
    """Plain JSON values, and tensors by name."""

    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The length of the JSON text in eight bytes, the text, and the tensors as safetensors where there are any."""
        text = json.dumps(self.values).encode()
        packed = save({name: value.contiguous() for name, value in self.tensors.items()}) if self.tensors else b""
        return len(text).to_bytes(8, "little") + text + packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Message:
        """What `to_bytes` wrote."""
        end = 8 + int.from_bytes(data[:8], "little")
        return cls(json.loads(data[8:end]), load(data[end:]) if end < len(data) else {})


class Channel:
    """Messages between the leader (rank 0) and all others, over one group of torch.distributed.

    Attributes:
        rank: of this process.
        size: number of processes.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, replies: dist.ProcessGroup | None = None) -> None:
        """Both groups hold all processes and can send tensors in the host's memory; None is the default group.

        Args:
            group: whose timeout bounds how long others wait for the leader's next message.
            replies: whose timeout bounds how long a process that has its reply waits for those that have not.
        """
        self._group, self._replies = group, replies
        self.rank: int = dist.get_rank(group)
        self.size: int = dist.get_world_size(group)

    @property
    def leads(self) -> bool:
        """Whether this process is the leader."""
        return self.rank == _LEADER

    def announce(self, message: Message) -> None:
        """As the leader: give every other process `message`; each takes it with `hear`."""
        data = message.to_bytes()
        dist.broadcast(torch.tensor([len(data)]), _LEADER, self._group)
        dist.broadcast(_tensor(data), _LEADER, self._group)

    def hear(self) -> Message:
        """The leader's next message."""
        size = torch.empty(1, dtype=torch.long)
        dist.broadcast(size, _LEADER, self._group)
        data = torch.empty(int(size), dtype=torch.uint8)
        dist.broadcast(data, _LEADER, self._group)
        return Message.from_bytes(data.numpy().tobytes())

    def gather(self, message: Message) -> list[Message] | None:
        """The messages of all processes by rank, as the leader; None as another one, which only gives its own."""
        data = message.to_bytes()
        sizes = [torch.empty(1, dtype=torch.long) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(data)]), self._replies)
        if not self.leads:
            dist.send(_tensor(data), _LEADER, self._replies)
            return None
        return [message, *(self._receive(rank, int(sizes[rank])) for rank in range(1, self.size))]

    def _receive(self, rank: int, size: int) -> Message:
        data = torch.empty(size, dtype=torch.uint8)
        dist.recv(data, rank, self._replies)
        return Message.from_bytes(data.numpy().tobytes())


def _tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
