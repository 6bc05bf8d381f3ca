"""What is measured: the sizes of a case, in the order of their worth, and its prompts and completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from gpu.shapes import Shape
from metis_rise.policy.packing import Row
from metis_rise.policy.prompt import Prompt, build_prompt


@dataclass(frozen=True, slots=True)
class Case:
    """One problem with one picture and `group_size` completions.

    ragged: their lengths run evenly from 1 to `completion_tokens`, so that the mean is half the maximum; else all have
        the maximum.
    tower: "trained", or "frozen" with the picture's features known before, to all arms.
    goal: of our speed over padding-free, where there is one.
    """

    image_tokens: int
    completion_tokens: int
    group_size: int
    ragged: bool
    tower: str
    goal: float | None = None

    @property
    def trained(self) -> bool:
        """Whether the vision tower is trained."""
        return self.tower == "trained"

    def lengths(self) -> list[int]:
        """Tokens of each completion, in an order that is no ranking."""
        count, longest = self.group_size, self.completion_tokens
        if not self.ragged:
            return [longest] * count
        even = [round(1 + i * (longest - 1) / (count - 1)) for i in range(count)]
        return [even[i] for i in torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()]

    def __str__(self) -> str:
        kind = "ragged" if self.ragged else "equal"
        return f"{self.image_tokens}/{self.completion_tokens} G={self.group_size} {kind}, tower {self.tower}"


def make_cases(shape: Shape) -> list[Case]:
    """All cases of `shape`, the goals first."""
    cases = []
    for group, completion, tower, ragged in product(
        shape.groups, shape.completions, ("trained", "frozen"), (True, False)
    ):
        goal = None
        if shape.name == "7b" and completion == 1024 and tower == "trained":
            goal = 2.5 if ragged else 1.8
        cases.append(Case(shape.image_tokens, completion, group, ragged, tower, goal))
    return cases


def make_rows(shape: Shape, core: Any, pictures: Sequence[int], lengths: Sequence[int]) -> list[Row]:
    """Prompts with one picture of each of `pictures` image tokens, and random completions of `lengths` for each."""
    random = torch.Generator().manual_seed(1)
    prompts = [make_prompt(shape, core, tokens, random) for tokens in pictures]
    return [
        (prompt, torch.randint(*shape.plain, (length,), generator=random)) for prompt in prompts for length in lengths
    ]


def make_prompt(shape: Shape, core: Any, image_tokens: int, random: torch.Generator) -> Prompt:
    """Random text around a picture of noise; `core` is the inner model, which knows the positions."""
    merge = shape.vision["spatial_merge_size"]
    side = isqrt(image_tokens) * merge
    patch = 3 * shape.vision["temporal_patch_size"] * shape.vision["patch_size"] ** 2
    before = torch.randint(*shape.plain, (shape.text_tokens // 2 - 1,), generator=random)
    after = torch.randint(*shape.plain, (shape.text_tokens - 2 - len(before),), generator=random)
    picture = torch.full((image_tokens,), shape.tokens["image_token_id"])
    start, end = (torch.tensor([shape.tokens[f"vision_{name}_token_id"]]) for name in ("start", "end"))
    ids = torch.cat([before, start, picture, end, after])
    features: dict[str, Tensor] = {
        "input_ids": ids[None],
        "mm_token_type_ids": (ids == shape.tokens["image_token_id"]).long()[None],
        "pixel_values": torch.randn(side * side, patch, generator=random),
        "image_grid_thw": torch.tensor([[1, side, side]]),
    }
    return build_prompt(core, features)
