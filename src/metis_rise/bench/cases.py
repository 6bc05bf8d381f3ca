"""What is measured: the sizes of a case, and the models and prompts that all arms share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import isqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from metis_rise.policy.loading import TINY, find_folder, load_model
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt

# Side of the square of pixels that becomes one image token of the tiny model: patch 14, two by two of them merged.
TOKEN_SIDE = 28
LARGEST_IMAGE = 256
QUESTION = "Count the red dots and the blue dots, add both numbers and say whether the sum is even."

Kind = Literal["rollout", "update"]
Size = Literal["small", "full"]
OURS = "ours"
# An arm does its whole work once, however often it did it before.
Arms = Mapping[str, Callable[[], Tensor]]


@dataclass(frozen=True, slots=True)
class Case:
    """`prompts` problems with one picture of `image_tokens` (a square number) each, `group_size` completions of each.

    All completions have `completion_tokens`, so that no arm gains by wasting less on padding.
    """

    image_tokens: int
    completion_tokens: int
    group_size: int = 8
    prompts: int = 4


def cases(size: Size) -> list[Case]:
    """The cases of a measurement: a few seconds each when small; full adds the larger pictures."""
    pictures = (16, 64) if size == "small" else (16, 64, LARGEST_IMAGE)
    return [Case(image, completion) for image in pictures for completion in (32, 64)]


@dataclass(frozen=True, slots=True)
class Workbench:
    """The same weights twice: in our policy, and in a model as transformers loads it, for the peers.

    Both are on the CPU in float32, with a frozen vision tower. No sampler may draw an end token: what the policy bans
    (`banned_ids`) holds for all arms.
    """

    policy: Policy
    plain: Any
    _turns: Iterator[int] = field(default_factory=count)

    @classmethod
    def load(cls, spec: str | Path = TINY) -> Workbench:
        """Load both from `spec`, see `Policy.load`."""
        policy = Policy.load(spec, device="cpu", max_pixels=LARGEST_IMAGE * TOKEN_SIDE**2)
        policy.banned_ids = tuple(sorted({*policy.banned_ids, *policy.eos_ids}))
        plain = load_model(find_folder(str(spec)), torch.float32).eval()
        plain.model.visual.requires_grad_(False)
        return cls(policy, plain)

    def prompts(self, case: Case) -> list[Prompt]:
        """Prompts of equal length, each with a noise picture of its own."""
        side = isqrt(case.image_tokens) * TOKEN_SIDE
        words = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}
        pixels = np.random.default_rng(0).integers(0, 256, (case.prompts, side, side, 3), dtype=np.uint8)
        prompts = [self.policy.encode([words], [Image.fromarray(picture)]) for picture in pixels]
        assert all(int(prompt.mm_token_type_ids.sum()) == case.image_tokens for prompt in prompts)
        return prompts

    def unseen(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The same prompts, their pictures under keys that the policy has no features of: it must encode them."""
        turn = next(self._turns)
        return [replace(prompt, key=f"{prompt.key}-{turn}") for prompt in prompts]


def repeated_inputs(prompts: list[Prompt], times: int) -> dict[str, Tensor]:
    """Keywords of a transformers model for every prompt and its picture `times` times over: rows [prompts x times]."""
    repeated = [prompt for prompt in prompts for _ in range(times)]
    pixels = [prompt.pixel_values for prompt in repeated if prompt.pixel_values is not None]
    grids = [prompt.image_grid_thw for prompt in repeated if prompt.image_grid_thw is not None]
    return {
        "input_ids": torch.stack([prompt.input_ids for prompt in repeated]),
        "mm_token_type_ids": torch.stack([prompt.mm_token_type_ids for prompt in repeated]),
        "pixel_values": torch.cat(pixels),
        "image_grid_thw": torch.cat(grids),
    }
