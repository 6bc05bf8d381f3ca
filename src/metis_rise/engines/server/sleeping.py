"""vLLM's sleep mode, for servers on the trainer's own GPUs: either samples or trains, and has the memory to itself.

Asleep, a server keeps its weights in the host's memory and has no keys and values (level 1). So it can wake up to the
same weights: a step without an update pushes none. Written against the source of vLLM 0.32 (entrypoints/serve/sleep);
the calls are tested against a scripted server, and have not been run on GPUs yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from metis_rise.engines.server.faults import ServersGone
from metis_rise.engines.server.fleet import Fleet

# What `rise serve` is told after `--` for a server that is to sleep.
OPTION = "--enable-sleep-mode"


class Sleeper:
    """Puts all servers of a fleet to sleep and wakes them up, where they are colocated; else does nothing.

    awake: whether they hold the memory that the trainer needs, as far as this engine has made them.
    """

    def __init__(self, fleet: Fleet, make_room: Callable[[], None]) -> None:
        """`make_room` lets go of the trainer's unused memory; it is called before servers wake up."""
        self._fleet, self._make_room = fleet, make_room
        self.awake = False

    async def wake(self) -> None:
        """All live servers are awake afterwards; those that were awake stay so."""
        if self._fleet.settings.colocated:
            self._make_room()
            await self._fleet.post_each("/wake_up")
            self.awake = True

    async def sleep(self) -> None:
        """All live servers sleep afterwards; where none is left, the fleet has warned of each that went."""
        if self._fleet.settings.colocated:
            self.awake = False
            with contextlib.suppress(ServersGone):
                await self._fleet.post_each("/sleep?level=1")
