"""The embedded engine: samples in process, from the very module that is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from metis_rise.engines.base import Request
from metis_rise.engines.generate import Loop
from metis_rise.engines.schedule import Waiting
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.types import Group, Problem


class NativeEngine:
    """Samples from `policy`: as completions end, further requests take their room.

    Keys and values are kept of at most `max_batch_tokens`: of prompts, counted as long as the longest of them, and of
    what their completions may grow to. Buffers grow by doubling, so up to twice that is held for a while. A request
    that passes the budget alone is sampled alone.
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
        loop = Loop(self.policy, Waiting(requests, self.encode, self.max_batch_tokens))
        version = self.policy.version
        while True:
            if self.policy.version != version:
                raise RuntimeError(f"weights {version} were updated while completions of them were drawn")
            with self._evaluating():
                groups = loop.run()
            if not groups:
                return
            yield from groups

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
