"""What comes over a socket, read line by line: a process and its helper talk in lines of JSON, never in pickles."""

from __future__ import annotations

import socket
import time

_PART = 1 << 16
# A time-out of zero would mean not to block, which fails otherwise than by TimeoutError.
_LEAST_S = 1e-3


class Gone(Exception):
    """The other end of the socket is closed: its process has ended."""


class Lines:
    """Lines, and bytes after them, for one thread at a time.

    All waiting ends with TimeoutError when the clock (`time.monotonic`) shows `ends`; None waits as long as it takes.
    """

    def __init__(self, channel: socket.socket) -> None:
        """`channel` is read by nobody else."""
        self._channel = channel
        self._held = b""

    def line(self, ends: float | None = None) -> bytes:
        """The next line without its end; Gone where the other end is closed."""
        while b"\n" not in self._held:
            part = bytearray(_PART)
            self._held += part[: self._into(memoryview(part), ends)]
        line, _, self._held = self._held.partition(b"\n")
        return line

    def exactly(self, size: int, ends: float | None = None) -> bytearray:
        """The next `size` bytes; Gone where the other end is closed."""
        data = bytearray(size)
        head, self._held = self._held[:size], self._held[size:]
        data[: len(head)] = head
        rest = memoryview(data)[len(head) :]
        while rest:
            rest = rest[self._into(rest, ends) :]
        return data

    def send(self, data: bytes | bytearray | memoryview, ends: float | None = None) -> None:
        """Sends all of `data`; Gone where nobody will read it."""
        self._wait_until(ends)
        try:
            self._channel.sendall(data)
        except ConnectionError as error:
            raise Gone from error

    def _into(self, room: memoryview, ends: float | None) -> int:
        self._wait_until(ends)
        try:
            got = self._channel.recv_into(room)
        except ConnectionError as error:
            raise Gone from error
        if not got:
            raise Gone
        return got

    def _wait_until(self, ends: float | None) -> None:
        self._channel.settimeout(None if ends is None else max(ends - time.monotonic(), _LEAST_S))
