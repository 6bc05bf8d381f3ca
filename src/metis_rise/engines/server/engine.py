"""The engine over vLLM servers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metis_rise.engines.base import Request
from metis_rise.engines.server.check import check_models
from metis_rise.engines.server.faults import BadReply, NotSampled, RequestFailed, ServersGone
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.loop import LoopThread
from metis_rise.engines.server.pictures import plain_png
from metis_rise.engines.server.pusher import ProbeRow, Pusher
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.engines.server.sleeping import Sleeper
from metis_rise.engines.server.wire import GENERATE, generate_body, read_reply
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.types import Group, Problem, StopReason, Trajectory

# So many requests per place at a server are prepared, so that a place that falls free is filled at once.
PREPARED = 2


@dataclass(frozen=True, slots=True)
class _Failure:
    """A request that got no completions, and why."""

    request: Request
    fault: RequestFailed


class ServerEngine:
    """Samples from vLLM servers that hold copies of `policy`'s weights.

    Nothing is sampled from weights that the policy never had: the first `sample` pushes if nobody did, and a server
    whose replies name other weights than were pushed (it was started anew, or missed a push) is taken out, its
    requests going elsewhere.

    Servers on the policy's own GPUs (`ServerSettings.colocated`) sleep but for pushes and sampling: from `check` on,
    and from the end of one `sample` to the next `push` or `sample`.
    """

    remote = True

    def __init__(
        self,
        policy: Policy,
        encode: Callable[[Problem], Prompt],
        picture: Callable[[str], bytes],
        settings: ServerSettings,
        pusher: Pusher,
        probe: Problem,
        warn: Callable[[str], None],
        make_room: Callable[[], None] = lambda: None,
    ) -> None:
        """No server is asked yet.

        Args:
            policy: whose weights are pushed and whose tokens are spoken.
            encode: turns a problem into the prompt that `policy` sees.
            picture: the PNG bytes of a stored picture, by its key.
            settings: where the servers are.
            pusher: how their weights are brought up to date.
            probe: a problem whose prompt is used to compare servers with the policy after a push.
            warn: told of servers that are taken out.
            make_room: called before servers on the policy's own GPUs wake up: lets go of memory that is not in use.
        """
        self.policy = policy
        self.encode = encode
        self.picture = picture
        self.pusher = pusher
        self.probe = probe
        self._warn = warn
        self._pushed: int | None = None
        self._closed = False
        self._at_once = PREPARED * settings.concurrency * len(settings.urls)
        self._fleet = Fleet(settings, warn)
        self._sleeper = Sleeper(self._fleet, make_room)
        self._loop = LoopThread()

    def check(self, longest: int, problem: str, max_tokens: int) -> None:
        """Refuse servers that cannot do the work: see `check_models`."""
        self._loop.run(check_models(self._fleet, self.policy.tokenizer, longest, problem, max_tokens))
        self._loop.run(self._sleeper.sleep())

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        """One group per request, as they finish: see `Engine.sample`.

        A trajectory's `weights_version` is the oldest that the server says its group was sampled with. Completions
        that a server aborts are asked for again. A request that fails for good, alone, is given as a group of aborted
        trajectories without tokens; `warn` is told how many there were and why.

        Raises:
            NotSampled: no server is left, or all of several requests failed; all other groups have been given by then.
            InputError: at once, for a server that reads a prompt otherwise than the policy does.
        """
        if self._pushed is None:
            self.push()
        if not self._sleeper.awake:
            self._loop.run(self._sleeper.wake())
        try:
            yield from self._sample(requests)
        finally:
            # A stream that nobody took to its end may be closed after the engine, whose loop is gone then.
            if self._sleeper.awake and not self._closed:
                self._loop.run(self._sleeper.sleep())

    def _sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        failed: list[_Failure] = []
        stranded: list[_Failure] = []
        unasked = iter(requests)
        with contextlib.closing(self._loop.stream(self._works(unasked, stranded), self._at_once)) as results:
            for result in results:
                if isinstance(result, Group):
                    yield result
                elif isinstance(result.fault, ServersGone):
                    stranded.append(result)
                else:
                    failed.append(result)
                    yield _aborted(result.request)
        if failed or stranded:
            told = [(failure.request.problem.id, str(failure.fault)) for failure in stranded + failed]
            told += [(request.problem.id, "not asked, since no server is left") for request in unasked]
            if stranded or len(failed) == len(requests) > 1:
                raise NotSampled(told, len(requests))
            self._warn(str(NotSampled(told, len(requests))))

    def push(self) -> Mapping[str, float]:
        """Bring the servers' weights up to date: see `Engine.push`.

        Servers that were out and can be reached again take part; those that cannot are out until the next push. They
        stay awake afterwards, since sampling follows.
        """
        figures = self._loop.run(self._push(ProbeRow(self.encode(self.probe), self._pictures(self.probe))))
        self._pushed = self.policy.version
        return figures

    def close(self) -> None:
        """Close all connections and end the thread that served them."""
        self._closed = True
        if self._sleeper.awake:
            self._loop.run(self._sleeper.sleep())
        self._loop.run(self._fleet.close())
        self._loop.close()

    async def _push(self, probe: ProbeRow) -> Mapping[str, float]:
        await self._fleet.muster()
        await self._sleeper.wake()
        return await self.pusher.push(self._fleet, self.policy, probe)

    def _works(
        self, requests: Iterator[Request], stranded: Sequence[_Failure]
    ) -> Iterator[Coroutine[Any, Any, Group | _Failure]]:
        """A piece of work per request, until one is `stranded`, no server being left; prompts are encoded here."""
        for request in requests:
            prompt, pictures = self.encode(request.problem), self._pictures(request.problem)
            yield self._ask(request, prompt, generate_body(self.policy, request, prompt, pictures))
            if stranded:
                return

    async def _ask(self, request: Request, prompt: Prompt, body: Mapping[str, Any]) -> Group | _Failure:
        expected = self._pushed
        assert expected is not None

        def read(url: str, reply: Any) -> Group:
            said = read_reply(self.policy, request, prompt, reply)
            version = self._version(url, said.labels, expected)
            return Group(request.problem, tuple(replace(t, weights_version=version) for t in said.trajectories))

        try:
            return await self._fleet.post(GENERATE, body, read)
        except RequestFailed as fault:
            return _Failure(request, fault)

    def _version(self, url: str, labels: Sequence[str], expected: int) -> int:
        """The oldest of the versions that `labels` name.

        Raises:
            BadReply: one is older than `expected`, or none that the policy ever had; the server is out by then.
        """
        versions = [int(label) if label.isdecimal() else -1 for label in labels]
        if min(versions, default=-1) < expected or max(versions) > self.policy.version:
            named = ", ".join(labels) or "none"
            reason = (
                f"it samples from weights {named!r} where {expected} was pushed; was it started anew, or does another "
                "run push to it?"
            )
            self._fleet.drop(url, reason)
            raise BadReply(reason)
        return min(versions)

    def _pictures(self, problem: Problem) -> tuple[bytes, ...]:
        return tuple(plain_png(self.picture(key)) for key in problem.images)


def _aborted(request: Request) -> Group:
    lost = (Trajectory(request.problem.id, number, "", stop=StopReason.ABORT) for number in range(request.n))
    return Group(request.problem, tuple(lost))
