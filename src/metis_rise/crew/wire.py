"""How a process and its helper talk: a line of JSON, after which as many bytes follow as it names. No pickle."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

_BYTES = "bytes"
_PART = 1 << 16

Values = Mapping[str, Any]
Data = bytes | bytearray | memoryview


class Gone(Exception):
    """The other end of the socket is closed."""


class Wire:
    """Messages over a connected socket, for one thread at a time."""

    def __init__(self, channel: socket.socket) -> None:
        """`channel` is used by nobody else."""
        self._channel = channel
        self._held = b""

    def send(self, values: Values, data: Data = b"") -> None:
        """Sends JSON values and bytes; Gone where nobody will read them."""
        line = json.dumps({**values, _BYTES: len(data)}).encode("ascii") + b"\n"
        try:
            self._channel.sendall(line)
            if data:
                self._channel.sendall(data)
        except ConnectionError as error:
            raise Gone from error

    def receive(self) -> tuple[dict[str, Any], bytearray]:
        """What the other end sent; Gone where it is closed, TimeoutError where the socket has one and nothing came."""
        values = json.loads(self._line())
        data = bytearray(values.pop(_BYTES))
        head = self._held[: len(data)]
        self._held = self._held[len(head) :]
        data[: len(head)] = head
        rest = memoryview(data)[len(head) :]
        while rest:
            got = self._into(rest)
            rest = rest[got:]
        return values, data

    def _line(self) -> bytes:
        while b"\n" not in self._held:
            part = bytearray(_PART)
            self._held += part[: self._into(memoryview(part))]
        line, _, self._held = self._held.partition(b"\n")
        return line

    def _into(self, room: memoryview) -> int:
        try:
            got = self._channel.recv_into(room)
        except ConnectionError as error:
            raise Gone from error
        if not got:
            raise Gone
        return got
