"""The embedded engine: samples in process, from the very module that is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.choice import Chooser, uniforms
from metis_rise.engines.generate import Completion, generate
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.types import Group, Problem, StopReason, Trajectory

# Requests are encoded and sorted by length so many batches at a time: their pictures are held until then.
BATCHES_AHEAD = 4

Encoded = tuple[Request, Prompt]


class NativeEngine:
    """Samples from `policy` in batches.

    A batch holds at most `max_batch_tokens`: prompts padded to the longest, plus what its completions may grow to.
    A request that passes that alone is a batch of its own.
    """

    remote = False

    def __init__(self, policy: Policy, encode: Callable[[Problem], Prompt], max_batch_tokens: int = 32768) -> None:
        """`encode` turns a problem into the prompt that `policy` sees."""
        self.policy = policy
        self.encode = encode
        self.max_batch_tokens = max_batch_tokens

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        """One group per request, batch by batch: see `Engine.sample`."""
        by_params: dict[SamplingParams, list[Request]] = {}
        for request in requests:
            by_params.setdefault(request.params, []).append(request)
        for same in by_params.values():
            for window in self._windows(same):
                for batch in self._batches(window):
                    yield from self._run(batch)

    def push(self) -> Mapping[str, float]:
        """Nothing to do: the policy's own weights are sampled from."""
        return {}

    def close(self) -> None:
        """Nothing to do."""

    def _windows(self, requests: Iterable[Request]) -> Iterator[list[Encoded]]:
        window: list[Encoded] = []
        tokens = 0
        for request in requests:
            prompt = self.encode(request.problem)
            window.append((request, prompt))
            tokens += len(prompt) + _growth(request)
            if tokens >= BATCHES_AHEAD * self.max_batch_tokens:
                yield window
                window, tokens = [], 0
        if window:
            yield window

    def _batches(self, window: Sequence[Encoded]) -> Iterator[list[Encoded]]:
        """Longest prompts first, so that each batch is padded to its first prompt."""
        batch: list[Encoded] = []
        growth = 0
        for request, prompt in sorted(window, key=lambda pair: len(pair[1]), reverse=True):
            padded = (len(batch) + 1) * len(batch[0][1] if batch else prompt)
            if batch and padded + growth + _growth(request) > self.max_batch_tokens:
                yield batch
                batch, growth = [], 0
            batch.append((request, prompt))
            growth += _growth(request)
        if batch:
            yield batch

    def _run(self, batch: Sequence[Encoded]) -> list[Group]:
        params = batch[0][0].params
        draws = torch.stack([uniforms(r.seed, i, params.max_tokens) for r, _ in batch for i in range(r.n)])
        choose = Chooser(params, self.policy.banned_ids, self.policy.device)
        training = self.policy.model.training
        self.policy.model.eval()
        completions = iter(generate(self.policy, [p for _, p in batch], [r.n for r, _ in batch], draws, choose))
        self.policy.model.train(training)
        return [
            Group(r.problem, tuple(self._trajectory(r.problem, i, next(completions)) for i in range(r.n)))
            for r, _ in batch
        ]

    def _trajectory(self, problem: Problem, sample: int, completion: Completion) -> Trajectory:
        ended = completion.tokens[-1] in self.policy.eos_ids
        return Trajectory(
            problem_id=problem.id,
            sample=sample,
            text=self.policy.decode(completion.tokens),
            tokens=completion.tokens,
            logprobs=completion.logprobs,
            stop=StopReason.EOS if ended else StopReason.LENGTH,
            weights_version=self.policy.version,
        )


def _growth(request: Request) -> int:
    return request.n * request.params.max_tokens
