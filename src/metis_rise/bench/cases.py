"""What is measured: the sizes of a case, and the cases of each measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count, product
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

Kind = Literal["rollout", "update", "sft", "step"]
OURS = "ours"
# An arm does its whole work once, however often it did it before.
Arms = Mapping[str, Callable[[], Tensor]]
Input = TypeVar("Input")


class Fresh(Generic[Input]):
    """An arm whose input is new in every run and is made outside the time that is measured.

    `make` gets the number of the run, from 0: equal numbers mean equal pictures in all arms.
    """

    def __init__(self, make: Callable[[int], Input], run: Callable[[Input], Tensor]) -> None:
        """`run` is what is measured."""
        self._make, self._run = make, run
        self._turns = count()
        self._waiting: list[Input] = []

    def prepare(self) -> None:
        """Make the input of the next run."""
        self._waiting = [self._make(next(self._turns))]

    def __call__(self) -> Tensor:
        """Run on the input that was prepared, else on one made now."""
        if not self._waiting:
            self.prepare()
        return self._run(self._waiting.pop())


def prepare(arm: Callable[[], Tensor]) -> None:
    """What the next run of `arm` needs and nobody is charged for."""
    if isinstance(arm, Fresh):
        arm.prepare()


@dataclass(frozen=True, slots=True)
class Case:
    """`prompts` problems with one picture of `image_tokens` (a square number) each, `group_size` completions of each.

    All completions have `completion_tokens`, so that no arm gains by wasting less on padding; `ragged` ones have
    between an eighth of that and all of it.
    """

    image_tokens: int
    completion_tokens: int
    group_size: int = 8
    prompts: int = 1
    ragged: bool = False

    def lengths(self) -> list[int]:
        """Tokens of each completion, those of one problem together; the same in every call."""
        count, longest = self.prompts * self.group_size, self.completion_tokens
        if not self.ragged:
            return [longest] * count
        random = torch.Generator().manual_seed(0)
        return torch.randint(max(1, longest // 8), longest + 1, (count,), generator=random).tolist()

    def named(self) -> dict[str, int]:
        """The entry `case` of a row of results."""
        return {
            "image_tokens": self.image_tokens,
            "completion_tokens": self.completion_tokens,
            "group_size": self.group_size,
            "prompts": self.prompts,
        }


def rollout_cases() -> list[Case]:
    """Of `rise bench rollout`: two problems each, as the study had them."""
    sizes = ((64, 64), (256, 64), (1024, 64), (256, 256))
    return [Case(image, completion, prompts=2) for image, completion in sizes]


def step_cases() -> list[Case]:
    """Of `rise bench step`: one problem each."""
    return [Case(image, completion) for image, completion in ((256, 64), (1024, 64), (256, 256))]


def update_cases(*, everything: bool, ragged: bool) -> list[Case]:
    """Of `rise bench update`: the five goal cases, or all combinations of its sizes; one problem each."""
    if everything:
        return [Case(i, c, g, ragged=ragged) for g, i, c in product((8, 16), (64, 256, 1024), (64, 256))]
    goals = ((64, 64), (256, 64), (256, 256), (1024, 64), (1024, 256))
    return [Case(image, completion, ragged=ragged) for image, completion in goals]


def sft_cases(*, ragged: bool) -> list[Case]:
    """Of `rise bench sft`: one trajectory of each of four problems, and four of each of two."""
    return [Case(256, 128, group_size=1, prompts=4, ragged=ragged), Case(256, 128, 4, prompts=2, ragged=ragged)]
