"""The interface of every sampler: requests in, groups out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from metis_rise.errors import InputError
from metis_rise.types import Group, Problem


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How completions are drawn.

    temperature: divides the logits; 0 takes the likeliest token each time (greedy).
    top_p: keep the likeliest tokens that together reach this probability; 1 keeps all.
    top_k: keep this many of the likeliest tokens; 0 keeps all.
    max_tokens: where a completion is cut.
    stop: a completion ends with the token that completes one of these strings; its text ends before the string.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """ValueError for values out of range."""
        low = self.temperature < 0 or self.top_k < 0 or self.max_tokens < 1
        if low or not 0 < self.top_p <= 1 or "" in self.stop:
            raise ValueError(f"sampling parameters out of range: {self}")


@dataclass(frozen=True, slots=True)
class Request:
    """n completions of one problem.

    `seed` and a completion's number within the request fix its random draws, whatever else is sampled beside it.
    """

    problem: Problem
    n: int
    params: SamplingParams
    seed: int = 0

    def __post_init__(self) -> None:
        """ValueError for fewer than one completion, or several of the same greedy one."""
        if self.n < 1:
            raise ValueError(f"a request for {self.n} completions")
        if self.params.temperature == 0 and self.n != 1:
            raise ValueError(f"{self.n} greedy completions of one problem would all be the same; ask for 1")


class WeightsDiffer(InputError):
    """An engine computes other log-probabilities than the policy whose weights it should have."""


class Engine(Protocol):
    """Something that samples completions.

    remote: it has weights of its own, elsewhere: `push` brings them up to date, and it can sample while the policy is
        trained.
    """

    remote: bool

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        """One group per request, as they finish: not in the order of the requests.

        The trajectories carry tokens and log-probabilities: natural logs under softmax(logits / temperature) over
        the whole vocabulary (temperature 1 for greedy completions), before any truncation.
        """
        ...

    def push(self) -> Mapping[str, float]:
        """Sample from the policy's present weights from now on; figures of how it went, such as its seconds.

        Raises:
            WeightsDiffer: the engine does not compute what the policy computes with these weights.
        """
        ...

    def close(self) -> None:
        """Let go of connections and threads; nothing is sampled afterwards."""
        ...


def unaborted(groups: Iterable[Group]) -> Iterator[Group]:
    """The same groups, where nobody asks a second time; InputError at the first that the sampler gave up."""
    for group in groups:
        if group.aborted:
            raise InputError(
                f"{group.problem.id!r}: the sampler gave it up: one prompt with its completions does not fit into "
                "memory; lower the tokens of a completion or the pixels of a picture"
            )
        yield group
