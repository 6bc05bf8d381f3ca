"""The helper's side: a module that is run with `-m` answers jobs until nobody asks any more."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Any

from metis_rise.crew.lines import Gone
from metis_rise.crew.wire import Data, Values, Wire

# How often an idle helper looks whether its parent still lives, besides noticing that the socket was closed.
_LOOK_S = 2.0

Answer = Callable[[dict[str, Any]], tuple[Values, Data]]


def serve(begin: Callable[[dict[str, Any]], Answer]) -> None:
    """Answers jobs that come over standard input, a socket, until it is closed or the process that asks is gone.

    Args:
        begin: given the settings, which come first, returns what answers each job. Its exceptions end the helper.
    """
    parent = os.getppid()
    # A Ctrl-C is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = socket.socket(fileno=os.dup(0))
    wire = Wire(channel)
    try:
        settings, _ = wire.receive()
        answer = begin(settings)
        wire.send({})
        while _asked(channel, parent):
            job, _ = wire.receive()
            wire.send(*answer(job))
    except Gone:
        return


def _asked(channel: socket.socket, parent: int) -> bool:
    """Waits for a job; False where nobody is left to ask one."""
    while os.getppid() == parent:
        if select.select([channel], [], [], _LOOK_S)[0]:
            return True
    return False
