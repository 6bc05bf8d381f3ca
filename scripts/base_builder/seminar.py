"""What the tiny expert is taught: the held-back families, asked by the very code that asks experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import get_args

from transformers import PreTrainedTokenizerFast

from base_builder.language import Classroom, Item
from base_builder.lapses import lapsed
from base_builder.lessons import CLEAN, Lesson
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world.chain import completion
from metis_rise.recipe.expert import ExpertConfig, Knowledge
from metis_rise.stages.experts.files import read_files
from metis_rise.stages.experts.question import Questions
from metis_rise.types import Problem, Trajectory

KINDS: tuple[Knowledge, ...] = get_args(Knowledge)
# What shows the way, so that nothing has to be remembered.
_MENDS = {"hints", "reference_answer", "reference_solution"}
# Shares: of blind questions; of each kind of knowledge in the others; of lapses where nothing mends them.
_BLIND = 0.35
_TOLD: Mapping[Knowledge, float] = {
    "hints": 0.4,
    "reference_answer": 0.4,
    "failed_attempts": 0.4,
    "reference_solution": 0.15,
}
_LAPSE = 0.7
# What the base knows is kept up with its own lessons.
_OLD = 0.2


def config_of(knowledge: Sequence[Knowledge]) -> ExpertConfig:
    """The settings with which small experts are asked, told of `knowledge`."""
    return ExpertConfig(knowledge=tuple(knowledge), template="brief", system=None)


class Seminar:
    """Draws problems with knowledge dropped at random, and what the expert should say to that."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        seed: int,
        problems: Sequence[Problem],
        attempts: Mapping[str, Sequence[Trajectory]],
        store: ImageStore,
    ) -> None:
        """`attempts` are a policy's at `problems`, by id; pictures are in `store`."""
        self._room = Classroom(tokenizer, seed, CLEAN)
        self.image_start = self._room.image_start
        self._rng, self._store, self._attempts = Random(f"seminar/{seed}"), store, attempts
        # Families and levels count alike, however many problems they have.
        self._kinds: dict[tuple[str, int], list[Problem]] = {}
        for problem in problems:
            self._kinds.setdefault((problem.family, problem.level), []).append(problem)
        self._questions: dict[tuple[Knowledge, ...], Questions] = {}

    def items(self, count: int) -> list[Item]:
        """`count` items, some of them the base's own lessons."""
        old = sum(self._rng.random() < _OLD for _ in range(count))
        return [*self._room.items(old), *(self._item() for _ in range(count - old))]

    def _item(self) -> Item:
        problem = self._rng.choice(self._kinds[self._rng.choice(list(self._kinds))])
        blind = self._rng.random() < _BLIND
        told = tuple(kind for kind in KINDS if not blind and self._rng.random() < _TOLD[kind])
        return self.item(problem, told, self.reply(problem, told))

    def item(self, problem: Problem, told: tuple[Knowledge, ...], said: str) -> Item:
        """A question with knowledge `told`, to which the expert says `said`."""
        if told not in self._questions:
            config = config_of(told)
            self._questions[told] = Questions(config, read_files(config), self._attempts, self._store)
        (message,) = self._questions[told](problem).messages
        _, text = message["content"]
        (key,) = problem.images
        return self._room.assemble(Lesson(text["text"], ((said, True),)), self._store.open(key))

    def reply(self, problem: Problem, told: Sequence[Knowledge]) -> str:
        """What the expert says of `problem` when it is told `told`: a lapse, or the right chain."""
        chain, answer = lapsed(problem)
        refuted = "failed_attempts" in told and any(
            attempt.verdict and attempt.verdict.extracted == answer for attempt in self._attempts.get(problem.id, ())
        )
        if _MENDS.isdisjoint(told) and not refuted and self._rng.random() < _LAPSE:
            return completion(chain, answer)
        return completion(problem.meta["chain"], problem.answer)
