"""A diagnosis without a model: problems with known solve rates, and an engine that answers by its seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch

from metis_rise.engines.base import Request
from metis_rise.problems.dataset import ProblemSets
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import Recipe
from metis_rise.run import Run
from metis_rise.seeding import derive
from metis_rise.stages.workshop import Workshop
from metis_rise.types import AnswerType, Group, Problem, Trajectory


class Killed(Exception):
    """The process ends here."""


def completion(answer: str, thought: str = "it is so") -> str:
    return f"<think> {thought} </think><answer>\\boxed{{{answer}}}</answer>"


@dataclass
class FakeBench:
    """Answers right with each problem's own probability; a sample depends on (seed, number) only.

    asked: what was requested, call by call. dies_after: groups until it raises `Killed`. remote: it is a server.
    """

    rates: Mapping[str, float]
    asked: list[list[Request]] = field(default_factory=list)
    dies_after: int | None = None
    closed: bool = False
    remote: bool = False

    @property
    def engine(self) -> Any:
        return self

    @property
    def policy(self) -> Any:
        return self

    def completion_ids(self, text: str) -> torch.Tensor:
        return torch.tensor([ord(character) for character in text] + [0])

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        self.asked.append(list(requests))
        for request in requests:
            if self.dies_after == 0:
                raise Killed
            self.dies_after = None if self.dies_after is None else self.dies_after - 1
            yield Group(request.problem, tuple(self.answer(request, number) for number in range(request.n)))

    def answer(self, request: Request, number: int) -> Trajectory:
        draw = Random(derive(request.seed, number))
        right = draw.random() < self.rates[request.problem.id]
        words = " ".join(draw.choice(("up", "down", "left", "right", "on", "off")) for _ in range(12))
        text = completion(request.problem.answer if right else "99", words)
        return Trajectory(request.problem.id, number, text, tuple(range(len(words))), (-0.1,) * len(words))

    def close(self) -> None:
        self.closed = True


class FakeShop(Workshop):
    """A workshop whose every bench is the same fake one."""

    fake: FakeBench

    def bench(self, model: str | Path) -> Any:
        return self.fake


def make_shop(folder: Path, rates: Mapping[str, float], batch_tokens: int = 262_144, **diagnose: Any) -> FakeShop:
    """A workshop over a run in `folder`, RL done; `rates` are the problems with their true solve rates."""
    parts = {"problems": {"kind": "world"}, "sampling": {"batch_tokens": batch_tokens}, "diagnose": diagnose}
    recipe = Recipe.model_validate({"name": "r", **parts})
    folder.mkdir(parents=True, exist_ok=True)
    problems = [Problem(key, "q", str(i), AnswerType.NUMBER) for i, key in enumerate(rates)]
    shop = FakeShop(recipe, Run(folder), ImageStore(folder / "images"), ProblemSets(problems, [], []), 100, None)
    object.__setattr__(shop, "fake", FakeBench(rates))
    return shop
