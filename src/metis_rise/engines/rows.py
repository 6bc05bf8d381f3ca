"""Completions as they grow, and the groups that they make."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.choice import uniforms
from metis_rise.engines.stops import StopStrings
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.types import Group, StopReason, Trajectory


@dataclass(eq=False, slots=True)
class Row:
    """One completion while it is drawn.

    growing: the request that it belongs to.
    draws: its random numbers, one per token.
    stops: looks for the request's stop strings; None without any.
    stop: why it ended, None before.
    """

    growing: Growing
    params: SamplingParams
    draws: list[float]
    stops: StopStrings | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stop: StopReason | None = None

    @property
    def draw(self) -> float:
        """The random number of the next token; of no use once the row has ended."""
        return self.draws[min(len(self.tokens), len(self.draws) - 1)]

    def append(self, token: int, logprob: float, ends: Collection[int]) -> None:
        """Take a token; one of `ends` ends the completion, as do a stop string and the limit of tokens."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if token in ends:
            self.stop = StopReason.EOS
        elif self.stops is not None and self.stops.completed(self.tokens):
            self.stop = StopReason.STOP
        elif len(self.tokens) == self.params.max_tokens:
            self.stop = StopReason.LENGTH


class Growing:
    """The rows of one request."""

    def __init__(self, policy: Policy, request: Request, prompt: Prompt) -> None:
        """Rows without tokens, in the order of their sample numbers."""
        params = request.params
        stops = StopStrings(params.stop, policy.decode) if params.stop else None
        self.request, self.length = request, len(prompt)
        self.rows = [
            Row(self, params, uniforms(request.seed, sample, params.max_tokens).tolist(), stops)
            for sample in range(request.n)
        ]
        self._policy = policy

    @property
    def ended(self) -> bool:
        """Whether all rows have ended."""
        return all(row.stop is not None for row in self.rows)

    def group(self) -> Group:
        """The trajectories, once all rows have ended."""
        problem = self.request.problem
        return Group(problem, tuple(self._trajectory(sample, row) for sample, row in enumerate(self.rows)))

    def _trajectory(self, sample: int, row: Row) -> Trajectory:
        assert row.stop is not None
        text = self._policy.decode(row.tokens)
        if row.stop is StopReason.STOP and row.stops is not None:
            text = row.stops.cut(text)
        return Trajectory(
            problem_id=self.request.problem.id,
            sample=sample,
            text=text,
            tokens=tuple(row.tokens),
            logprobs=tuple(row.logprobs),
            stop=row.stop,
            weights_version=self._policy.version,
        )
