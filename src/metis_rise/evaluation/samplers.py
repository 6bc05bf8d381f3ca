"""Who answers: what every sampler promises, and the one that works in this process on a model's own weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch

from metis_rise.benchmarks.base import Item
from metis_rise.benchmarks.evaluation_folder import Answer
from metis_rise.benchmarks.protocol import ProtocolRecord, system_sha, versions
from metis_rise.crew.crew import cores
from metis_rise.engines.base import unaborted
from metis_rise.engines.native import NativeEngine
from metis_rise.evaluation.asking import AUTO, Asking, Shown, Wanted, shown
from metis_rise.evaluation.weights import fingerprint
from metis_rise.policy.families import read_json
from metis_rise.policy.loading import pick_dtype
from metis_rise.policy.model import Policy
from metis_rise.policy.pictures import HelpedPictures, OwnPictures, Pictures
from metis_rise.policy.processor import pixel_bounds
from metis_rise.policy.prompt import Prompt
from metis_rise.problems.images import ImageStore
from metis_rise.stages.helpers import worth
from metis_rise.types import Group, Problem, StopReason


class Sampler(Protocol):
    """Something that answers items.

    asking: how it asks.
    weights: what tells its weights from others', None where only their name is known.
    """

    asking: Asking
    weights: str | None

    def record(self) -> ProtocolRecord:
        """How it answers: what it adds to a protocol."""
        ...

    def answers(self, benchmark: str, wanted: Sequence[Wanted]) -> Iterator[list[Answer]]:
        """Answers as they come, in any order; those that each item lacks are among them."""
        ...

    def close(self) -> None:
        """Let go of whatever it holds."""
        ...


class NativeSampler:
    """Answers in process, many items at once. The model is loaded when the first answer is wanted."""

    def __init__(self, folder: Path, asking: Asking, store: ImageStore, dtype: str, batch_tokens: int) -> None:
        """`dtype` AUTO is bfloat16 on a GPU and float32 without; `batch_tokens` as in `NativeEngine`.

        Raises:
            InputError: no model in `folder`, or an unknown `dtype`.
        """
        self.folder, self.asking = folder, asking
        self.weights: str | None = fingerprint(folder)
        self._store, self._batch_tokens = store, batch_tokens
        self._dtype = ("bfloat16" if torch.cuda.is_available() else "float32") if dtype == AUTO else dtype
        pick_dtype(self._dtype)

    @cached_property
    def policy(self) -> Policy:
        """The loaded model."""
        low, high = self.asking.min_pixels, self.asking.max_pixels
        return Policy.load(self.folder, dtype=self._dtype, min_pixels=low, max_pixels=high)

    def record(self) -> ProtocolRecord:
        """See `Sampler`."""
        settings = read_json(self.folder / "preprocessor_config.json")
        return recorded(self.asking, "native", self._dtype, settings)

    def answers(self, benchmark: str, wanted: Sequence[Wanted]) -> Iterator[list[Answer]]:
        """See `Sampler`; of an item all samples come, together. Pictures are cut up ahead where that is worth it."""
        asked = self.asking.requests(benchmark, wanted)

        def see(item: Item) -> Shown:
            return shown(item, self.asking.style, self.asking.system)

        # Prompts are encoded in this order.
        pictures = self._pictures([key for item, _ in asked.values() for key in see(item)[1]])

        def encode(problem: Problem) -> Prompt:
            messages, keys = see(asked[problem.id][0])
            prompt = self.policy.prompt(messages, [pictures.take(key) for key in keys])
            return replace(prompt, problem=problem.id)

        engine = NativeEngine(self.policy, encode, self._batch_tokens)
        with closing(pictures):
            for group in unaborted(engine.sample([request for _, request in asked.values()])):
                yield answers_of(asked[group.problem.id][0], group)

    def _pictures(self, keys: Sequence[str]) -> Pictures:
        processor = self.policy.processor.image_processor
        helpers, _ = worth(keys, self._store, lambda: processor, self.policy.device.type, cores())
        if not helpers:
            return OwnPictures(self._store, processor)
        pictures = HelpedPictures(self._store, processor, helpers)
        pictures.expect(keys)
        return pictures

    def close(self) -> None:
        """See `Sampler`."""
        self.__dict__.pop("policy", None)


def answers_of(item: Item, group: Group) -> list[Answer]:
    """The answers that an engine gave to an item."""
    return [
        Answer(item.index, number, t.text, ended=t.stop is not StopReason.LENGTH)
        for number, t in enumerate(group.trajectories)
    ]


def recorded(asking: Asking, engine: str, dtype: str | None, preprocessor: dict[str, Any] | None) -> ProtocolRecord:
    """The part of a protocol that asking settles.

    Pixel bounds that `asking` leaves open are those of the model's `preprocessor` settings, unknown without them.
    """
    low, high = asking.min_pixels, asking.max_pixels
    if preprocessor is not None:
        bounds = pixel_bounds(preprocessor, low, high)
        low, high = bounds["shortest_edge"], bounds["longest_edge"]
    params = asking.params
    return ProtocolRecord(
        style=asking.style.value,
        system_sha=system_sha(asking.system),
        min_pixels=low,
        max_pixels=high,
        decoding={
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "samples": asking.samples,
            "seed": asking.seed,
        },
        max_tokens=params.max_tokens,
        engine=engine,
        dtype=dtype,
        versions=versions(),
    )
