"""A prompt: everything the model sees of one problem, ready for a forward pass."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """The tokens and pictures of one problem, on the CPU.

    input_ids: [P] int64, each picture's placeholder expanded to one token per merged patch.
    position_ids: [3, P] int64, M-RoPE positions (time, height, width).
    mm_token_type_ids: [P] int64, 1 where a token stands for a piece of a picture, else 0.
    pixel_values: [patches, patch dim] float32, all pictures one after another; None without pictures.
    image_grid_thw: [pictures, 3] int64, each picture's patch grid; None without pictures.
    key: one digest per picture, joined by commas ("" without pictures); equal keys mean equal pictures.
    problem: id of the problem, for messages.
    """

    input_ids: Tensor
    position_ids: Tensor
    mm_token_type_ids: Tensor
    pixel_values: Tensor | None = None
    image_grid_thw: Tensor | None = None
    key: str = ""
    problem: str = ""

    def __len__(self) -> int:
        """Number of tokens P."""
        return int(self.input_ids.shape[0])

    @property
    def next_position(self) -> int:
        """The M-RoPE position of the first token after the prompt, the same on all three axes."""
        return int(self.position_ids.max()) + 1

    def pictures(self) -> list[tuple[str, Tensor, Tensor]]:
        """Per picture: its digest, its patches [patches, patch dim] and its grid [3]."""
        if self.pixel_values is None or self.image_grid_thw is None:
            return []
        patches = torch.split(self.pixel_values, self.image_grid_thw.prod(-1).tolist())
        return list(zip(self.key.split(","), patches, self.image_grid_thw, strict=True))


def build_prompt(core: Any, features: Any) -> Prompt:
    """The prompt of one processed text.

    `core` is the inner model (it knows the M-RoPE rule through `get_rope_index`); `features` is what the processor
    returned for a batch of one, as tensors.
    """
    pixels, grid = features.get("pixel_values"), features.get("image_grid_thw")
    positions, _ = core.get_rope_index(
        input_ids=features["input_ids"], mm_token_type_ids=features["mm_token_type_ids"], image_grid_thw=grid
    )
    key = "" if pixels is None else ",".join(map(_digest, torch.split(pixels, grid.prod(-1).tolist()), grid))
    return Prompt(features["input_ids"][0], positions[:, 0], features["mm_token_type_ids"][0].long(), pixels, grid, key)


def _digest(patches: Tensor, grid: Tensor) -> str:
    digest = hashlib.blake2b(patches.numpy().tobytes(), digest_size=16)
    digest.update(grid.numpy().tobytes())
    return digest.hexdigest()
