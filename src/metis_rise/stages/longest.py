"""The longest prompt of many problems, for which few of them are read closely."""

from __future__ import annotations

from collections.abc import Sequence

from metis_rise.stages.prompts import Prompts
from metis_rise.terminal import Loop
from metis_rise.types import Problem


class Longest:
    """How long the prompts of some problems get; pictures are not decoded. Nothing is measured twice."""

    def __init__(self, prompts: Prompts, problems: Sequence[Problem], whose: str) -> None:
        """`whose` problems these are, for progress bars; all models of a run read prompts alike."""
        self._whose = whose
        bar = Loop(problems, desc=f"{whose}: prompts seen", unit="problem")
        self._bounds = sorted(((prompts.bound(problem), problem) for problem in bar), key=lambda pair: -pair[0])
        self._found: tuple[int, str] | None = None

    def within(self, tokens: int) -> bool:
        """Whether it is clear without measuring that no prompt is longer."""
        return all(bound <= tokens for bound, _ in self._bounds[:1])

    def measured(self, prompts: Prompts) -> tuple[int, str]:
        """Tokens of the longest prompt and its problem's id; 0 and "" where there is no problem."""
        if self._found is None:
            self._found = 0, ""
            bar = Loop(self._bounds, desc=f"{self._whose}: longest prompt", unit="problem")
            for bound, problem in bar:
                if bound < self._found[0]:
                    break
                self._found = max(self._found, (prompts.length(problem), problem.id))
        return self._found
