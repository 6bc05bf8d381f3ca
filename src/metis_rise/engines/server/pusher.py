"""What brings the weights of servers up to date, as the engine sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from metis_rise.engines.server.fleet import Fleet
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A prompt whose log-probabilities servers and policy are compared on.

    prompt: as the policy sees it.
    pictures: the stored PNG bytes of its pictures, in order.
    """

    prompt: Prompt
    pictures: tuple[bytes, ...]


class Pusher(Protocol):
    """A way to bring the servers' weights up to date."""

    async def push(self, fleet: Fleet, policy: Policy, probe: ProbeRow) -> Mapping[str, float]:
        """Give every live server the policy's present weights and label them `str(policy.version)`.

        The label is vLLM's weight version (/update_weight_version); replies name it. The engine has called
        `fleet.muster()` before. Requests may be in flight.

        Returns:
            Figures of how it went, such as its seconds.

        Raises:
            WeightsDiffer: a server's log-probabilities of the probe are not the policy's.
        """
        ...
