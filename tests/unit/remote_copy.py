"""An engine with weights of its own, as servers have: a copy of the policy's, taken at each push."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.types import Group, Problem, StopReason


@dataclass
class Script:
    """What the engines of a test are to do beside their work, and what they saw.

    before: called before a group is given.
    lazy: pushes after the first are forgotten, as by a server that answers and does nothing.
    abort: whether the sampler gives up this request, which was asked so often before.
    asked: problem ids of each `sample`, by the name of the thread that sampled.
    pushed: versions of the weights.
    """

    before: Callable[[], None] = lambda: None
    lazy: bool = False
    abort: Callable[[Request, int], bool] = lambda request, times: False
    asked: list[tuple[str, list[str]]] = field(default_factory=list)
    pushed: list[int] = field(default_factory=list)
    times: Counter[tuple[str, int, SamplingParams]] = field(default_factory=Counter)
    closed: threading.Event = field(default_factory=threading.Event)


class RemoteCopy:
    """Samples natively from its copy."""

    remote = True

    def __init__(self, policy: Policy, encode: Callable[[Problem], Prompt], script: Script) -> None:
        self.policy, self.script = policy, script
        self.copy = copy.copy(policy)
        self.copy.model = copy.deepcopy(policy.model)
        self.native = NativeEngine(self.copy, encode)
        self.under_way = 0

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        assert self.script.pushed, "nobody has pushed any weights"
        self.script.asked.append((threading.current_thread().name, [request.problem.id for request in requests]))
        self.under_way += 1
        try:
            by_problem = {request.problem.id: request for request in requests}
            for group in self.native.sample(requests):
                self.script.before()
                request = by_problem[group.problem.id]
                key = (request.problem.id, request.seed, request.params)
                yield given_up(group) if self.script.abort(request, self.script.times[key]) else group
                self.script.times[key] += 1
        finally:
            self.under_way -= 1

    def push(self) -> Mapping[str, float]:
        assert not self.under_way, "weights were pushed while they were sampled from"
        if not (self.script.lazy and self.script.pushed):
            self.copy.model.load_state_dict(self.policy.model.state_dict())
            self.copy.version = self.policy.version
        self.script.pushed.append(self.policy.version)
        return {"probe_difference": 0.0}

    def close(self) -> None:
        self.script.closed.set()


def given_up(group: Group) -> Group:
    """The group, its last trajectory aborted."""
    *kept, last = group.trajectories
    return Group(group.problem, (*kept, replace(last, stop=StopReason.ABORT, text="", tokens=(), logprobs=())))
