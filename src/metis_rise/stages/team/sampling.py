"""Engines of a model that a team works on, as the leader's stages see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from metis_rise.engines.base import Engine, Request
from metis_rise.stages.team.leading import TeamHands
from metis_rise.types import Group

# Requests are shared out so many of an engine's budgets for each process at a time. More would leave processes waiting
# less for each other, and lose more sampled groups when a run is killed.
BUDGETS_AT_ONCE = 16


def team_engine(hands: TeamHands, own: Engine) -> Engine:
    """An engine that samples the model of `hands`; `own` is the leader's, which asks servers or samples alone."""
    return LedServers(hands, own) if own.remote else TeamEngine(hands)


class TeamEngine:
    """Samples with all processes, each from all weights: see `NativeEngine`."""

    remote = False

    def __init__(self, hands: TeamHands) -> None:
        """Samples the model of `hands`."""
        self._hands = hands

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        """One group per request, many at a time: see `Engine.sample`."""
        model, size = self._hands.model, self._hands.team.size
        room = BUDGETS_AT_ONCE * size * model.engine.max_batch_tokens
        window: list[Request] = []
        tokens = 0
        for request in requests:
            window.append(request)
            tokens += self._hands.expected(request)
            if tokens >= room:
                yield from self._hands.sample(window)
                window, tokens = [], 0
        if window:
            yield from self._hands.sample(window)

    def push(self) -> Mapping[str, float]:
        """Nothing to do: the policy's own weights are sampled from."""
        return {}

    def close(self) -> None:
        """Nothing to do."""


class LedServers:
    """Samples from servers, which the leader alone talks to; all processes bring their weights together for a push."""

    remote = True

    def __init__(self, hands: TeamHands, servers: Engine) -> None:
        """`servers` samples the model of `hands`."""
        self._hands, self._servers, self._pushed = hands, servers, False
        self._colocated = hands.team.station.recipe.engine.colocated

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        """See `Engine.sample`."""
        if not self._pushed:
            self.push()
        if self._colocated:
            # The servers wake up to the memory of all GPUs, and the leader's engine only gives back its own.
            self._hands.team.do("make_room", {})
        return self._servers.sample(requests)

    def push(self) -> Mapping[str, float]:
        """See `Engine.push`."""
        figures = self._hands.push(self._servers.push)
        self._pushed = True
        return figures

    def close(self) -> None:
        """See `Engine.close`."""
        self._servers.close()
