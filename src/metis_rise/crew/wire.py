"""How a process and its helper talk: a line of JSON, after which as many bytes follow as it names. No pickle."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

from metis_rise.crew.lines import Lines

_BYTES = "bytes"

Values = Mapping[str, Any]
Data = bytes | bytearray | memoryview


class Wire:
    """Messages over a connected socket, for one thread at a time. `ends` is as in `Lines`."""

    def __init__(self, channel: socket.socket) -> None:
        """`channel` is used by nobody else."""
        self._lines = Lines(channel)

    def send(self, values: Values, data: Data = b"") -> None:
        """Sends JSON values and bytes; Gone where nobody will read them."""
        self._lines.send(json.dumps({**values, _BYTES: len(data)}).encode("ascii") + b"\n")
        if data:
            self._lines.send(data)

    def receive(self, ends: float | None = None) -> tuple[dict[str, Any], bytearray]:
        """What the other end sent; Gone where it is closed, TimeoutError where nothing came in time."""
        values = json.loads(self._lines.line(ends))
        return values, self._lines.exactly(values.pop(_BYTES), ends)
