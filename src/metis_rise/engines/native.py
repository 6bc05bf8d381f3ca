"""The embedded engine: samples in process, from the very module that is trained."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from metis_rise.engines.base import Request
from metis_rise.engines.generate import Loop
from metis_rise.engines.schedule import Waiting
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.policy.room import out_of_memory
from metis_rise.types import Group, Problem, StopReason, Trajectory

log = logging.getLogger(__name__)


class NativeEngine:
    """Samples from `policy`: as completions end, further requests take their room.

    Keys and values are kept of at most `max_batch_tokens`: of prompts, counted as long as the longest of them, and of
    what their completions may grow to. Buffers grow by doubling, so up to twice that is held for a while. A request
    that passes the budget alone is sampled alone.

    Where memory does not suffice the budget is halved, for all that follows, and what was not finished drawn again: the
    same completions, up to rounding. A request that does not fit alone is given up (StopReason.ABORT).
    """

    remote = False

    def __init__(self, policy: Policy, encode: Callable[[Problem], Prompt], max_batch_tokens: int = 32768) -> None:
        """`encode` turns a problem into the prompt that `policy` sees."""
        self.policy = policy
        self.encode = encode
        self.max_batch_tokens = max_batch_tokens

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        """One group per request, each as soon as its last completion has ended: see `Engine.sample`.

        RuntimeError when the policy is updated before the last group was taken: the others would be of two policies.
        """
        left = list(requests)
        while left:
            loop = Loop(self.policy, Waiting(left, self.encode, self.max_batch_tokens))
            finished: list[Request] = []
            try:
                yield from self._drawn(loop, finished)
                return
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or not loop.under_way:
                    raise
                held = loop.under_way
            # Not within the block above: a traceback holds the tensors of its frames.
            del loop
            self._let_go()
            left = _without(left, finished)
            if len(held) > 1:
                self.max_batch_tokens = max(1, self.max_batch_tokens // 2)
                log.warning("out of memory while sampling: again with sampling.batch_tokens=%d", self.max_batch_tokens)
                continue
            log.warning("out of memory while sampling %r alone: given up", held[0].problem.id)
            left = _without(left, held)
            yield self._given_up(held[0])

    def _drawn(self, loop: Loop, finished: list[Request]) -> Iterator[Group]:
        """Groups as they finish, whose requests are added to `finished`."""
        version = self.policy.version
        while True:
            if self.policy.version != version:
                raise RuntimeError(f"weights {version} were updated while completions of them were drawn")
            with self._evaluating():
                done = loop.run()
            if not done:
                return
            for growing in done:
                finished.append(growing.request)
                yield growing.group()

    def _given_up(self, request: Request) -> Group:
        trajectories = (
            Trajectory(request.problem.id, number, "", stop=StopReason.ABORT, weights_version=self.policy.version)
            for number in range(request.n)
        )
        return Group(request.problem, tuple(trajectories))

    @staticmethod
    def _let_go() -> None:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def push(self) -> Mapping[str, float]:
        """Nothing to do: the policy's own weights are sampled from."""
        return {}

    def close(self) -> None:
        """Nothing to do."""

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """The model in evaluation mode, and as it was afterwards."""
        training = self.policy.model.training
        self.policy.model.eval()
        try:
            yield
        finally:
            self.policy.model.train(training)


def _without(requests: Sequence[Request], out: Sequence[Request]) -> list[Request]:
    """The requests but for those of `out`; one that is there twice is taken out as often as it is in `out`."""
    times = Counter(map(id, out))
    left: list[Request] = []
    for request in requests:
        if times[id(request)]:
            times[id(request)] -= 1
        else:
            left.append(request)
    return left
