"""Encoded prompts of problems, for one policy."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from threading import Lock

from metis_rise.policy.model import Policy
from metis_rise.policy.pictures import HelpedPictures, OwnPictures, Pictures
from metis_rise.policy.processor import PromptLengths
from metis_rise.policy.prompt import Prompt
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import RISE, build_messages, load_system
from metis_rise.types import Problem

AUTO = "auto"
KEPT_BYTES = 256 << 20


class Prompts:
    """Encodes problems for one policy, and keeps the prompts used last, up to `KEPT_BYTES` of pixels.

    Attributes:
        policy: that reads them.
        system: its system prompt.
        helped: whether helper processes cut up pictures ahead of need.
        waited: seconds that callers have spent waiting for prompts so far.
    """

    def __init__(self, policy: Policy, store: ImageStore, system: str | None, helpers: int = 0) -> None:
        """Prompts of problems whose pictures are in `store`; see `helpers_for` for how many helpers."""
        self.policy, self.system, self.helped = policy, system, helpers > 0
        self.waited = 0.0
        self._store = store
        processor = policy.processor.image_processor
        self._pictures: Pictures = OwnPictures(store, processor)
        if helpers:
            self._pictures = HelpedPictures(store, processor, helpers)
        self._known: dict[str, Prompt] = {}
        self._lengths = PromptLengths(policy.processor)
        self._bytes = 0
        self._lock = Lock()

    def __call__(self, problem: Problem) -> Prompt:
        """The prompt of `problem`. Threads may call at once: one that samples, one that trains."""
        with self._lock:
            prompt = self._known.pop(problem.id, None)
            if prompt is not None:
                self._known[problem.id] = prompt
                return prompt
        began = time.monotonic()
        pictures = [self._pictures.take(key) for key in problem.images]
        with self._lock:
            # A tokenizer serves one thread at a time.
            encoded = self.policy.prompt(build_messages(problem, self.system), pictures)
            prompt = replace(encoded, problem=problem.id)
            self._keep(prompt)
            self.waited += time.monotonic() - began
        return prompt

    def expect(self, problems: Iterable[Problem]) -> None:
        """Says whose prompts will be asked for next, in that order: helpers begin with their pictures."""
        if not self.helped:
            return
        with self._lock:
            unknown = [problem for problem in problems if problem.id not in self._known]
        self._pictures.expect(list(dict.fromkeys(key for problem in unknown for key in problem.images)))

    def close(self) -> None:
        """Ends the helpers; no prompt is asked for afterwards."""
        self._pictures.close()

    def length(self, problem: Problem) -> int:
        """Tokens of the prompt of `problem`, its pictures not decoded."""
        return self._lengths.exact(build_messages(problem, self.system), self._sizes(problem))

    def bound(self, problem: Problem) -> int:
        """Not less than `length`, and found much faster."""
        return self._lengths.bound(build_messages(problem, self.system), self._sizes(problem))

    def _sizes(self, problem: Problem) -> list[tuple[int, int]]:
        return [self._store.size(key) for key in problem.images]

    def _keep(self, prompt: Prompt) -> None:
        if (before := self._known.pop(prompt.problem, None)) is not None:
            self._bytes -= _size(before)
        self._known[prompt.problem] = prompt
        self._bytes += _size(prompt)
        while self._bytes > KEPT_BYTES and len(self._known) > 1:
            oldest = next(iter(self._known))
            self._bytes -= _size(self._known.pop(oldest))


def _size(prompt: Prompt) -> int:
    return 0 if prompt.pixel_values is None else prompt.pixel_values.nbytes


def system_prompt(policy: Policy, setting: str | None) -> str | None:
    """The system prompt that a recipe's `prompt.system` means for this model.

    `AUTO` is what the model's folder says it was trained with, and ours where it says nothing.
    """
    if setting == AUTO:
        return policy.system if policy.knows_system else load_system(RISE)
    return load_system(setting)
