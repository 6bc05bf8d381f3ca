"""What an expert is asked about a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metis_rise.problems.images import ImageStore
from metis_rise.recipe.expert import ExpertConfig
from metis_rise.stages.experts.files import ExpertFiles
from metis_rise.stages.experts.knowledge import knowledge_of, parse_hints
from metis_rise.stages.experts.prompts import Prompter
from metis_rise.types import Problem, Trajectory


@dataclass(frozen=True, slots=True)
class Question:
    """Messages whose image parts stand for `images` (keys into the store) of `sizes` (width, height in pixels)."""

    messages: Sequence[Mapping[str, Any]]
    images: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]


class Questions:
    """Makes the question of a problem; the same for the calls and for what they are expected to cost."""

    def __init__(
        self,
        config: ExpertConfig,
        files: ExpertFiles,
        attempts: Mapping[str, Sequence[Trajectory]],
        store: ImageStore,
    ) -> None:
        """`attempts` are the policy's, by problem id. InputError for files that cannot be used."""
        self._config, self._attempts, self._store = config, attempts, store
        self._hints = parse_hints(files.hints, f"expert.hints = {config.hints}")
        self._prompter = Prompter(files.template, f"expert.template = {config.template}", files.system)

    def __call__(self, problem: Problem) -> Question:
        """The question about `problem`."""
        known = knowledge_of(problem, self._config, self._hints, self._attempts.get(problem.id, ()))
        sizes = tuple(self._store.size(key) for key in problem.images)
        return Question(self._prompter.messages(problem, known), problem.images, sizes)
