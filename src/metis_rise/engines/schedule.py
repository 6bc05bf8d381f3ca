"""Which requests are read next, so that the keys and values of all that is read stay within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.policy.prompt import Prompt
from metis_rise.types import Problem

# Requests are encoded and sorted by length so many budgets at a time: their pictures are held until they are read.
BUDGETS_AHEAD = 4

Encoded = tuple[Request, Prompt]


@dataclass(frozen=True, slots=True)
class Held:
    """What prompts and rows take at most, in tokens: kept states are as wide as the longest prompt and row need.

    prompts, longest: how many, and the tokens of the longest one.
    rows, limit: how many, and where the longest one is cut.
    """

    prompts: int = 0
    longest: int = 0
    rows: int = 0
    limit: int = 0

    @classmethod
    def of(cls, lengths: Sequence[int], limits: Sequence[int]) -> Held:
        """By prompts of `lengths` and rows of `limits`."""
        return cls(len(lengths), max(lengths, default=0), len(limits), max(limits, default=0))

    def with_request(self, request: Request, prompt: Prompt) -> Held:
        """The same and one request more."""
        return Held(
            self.prompts + 1,
            max(self.longest, len(prompt)),
            self.rows + request.n,
            max(self.limit, request.params.max_tokens),
        )

    @property
    def tokens(self) -> int:
        """Tokens whose keys and values there must be room for."""
        return self.prompts * self.longest + self.rows * self.limit


class Waiting:
    """Requests that are not read yet: those of equal parameters together, longer prompts before shorter ones."""

    def __init__(self, requests: Sequence[Request], encode: Callable[[Problem], Prompt], budget: int) -> None:
        """`budget` bounds `Held.tokens`; requests are encoded as they come near."""
        self._budget = budget
        self._encoded = self._in_order(requests, encode)
        self._next = next(self._encoded, None)

    def __bool__(self) -> bool:
        """Whether a request waits."""
        return self._next is not None

    def admit(self, held: Held) -> list[Encoded]:
        """Those that fit beside what is `held`, in order; a first one fits beside nothing whatever it takes."""
        admitted = []
        while self._next is not None:
            more = held.with_request(*self._next)
            if held.prompts and more.tokens > self._budget:
                break
            held = more
            admitted.append(self._next)
            self._next = next(self._encoded, None)
        return admitted

    def _in_order(self, requests: Sequence[Request], encode: Callable[[Problem], Prompt]) -> Iterator[Encoded]:
        by_params: dict[SamplingParams, list[Request]] = {}
        for request in requests:
            by_params.setdefault(request.params, []).append(request)
        for alike in by_params.values():
            window: list[Encoded] = []
            tokens = 0
            for request in alike:
                prompt = encode(request.problem)
                window.append((request, prompt))
                tokens += Held().with_request(request, prompt).tokens
                if tokens >= BUDGETS_AHEAD * self._budget:
                    yield from _longest_first(window)
                    window, tokens = [], 0
            yield from _longest_first(window)


def _longest_first(window: list[Encoded]) -> Iterator[Encoded]:
    """Takes each request out of `window` as it goes, pictures and all."""
    window.sort(key=lambda pair: len(pair[1]))
    while window:
        yield window.pop()
