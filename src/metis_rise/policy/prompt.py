"""A prompt: everything the model sees of one problem, ready for a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metis_rise.errors import InputError
from metis_rise.policy.cutting import Cut, digest


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


def prompt_of(core: Any, processor: Any, messages: Sequence[dict[str, Any]], pictures: Sequence[Cut]) -> Prompt:
    """The prompt of chat `messages` whose image parts stand for `pictures`, in order; what `processor` itself makes.

    Args:
        core: the inner model, which knows the M-RoPE rule.
        processor: of the model.
        messages: the chat, which ends where the answer begins.
        pictures: as its image processor cuts them.

    Raises:
        InputError: the messages name another number of pictures than are given, or hold tokens of pictures as text.
    """
    named = sum(
        part.get("type") == "image" for m in messages if not isinstance(m["content"], str) for part in m["content"]
    )
    if named != len(pictures):
        raise InputError(f"the messages name {named} picture(s), {len(pictures)} given")
    text = processor.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
    if text.count(processor.image_token) != named or processor.video_token in text:
        raise InputError(f"the messages hold {processor.image_token} or {processor.video_token} as text; reword them")
    merged = int(processor.image_processor.merge_size) ** 2
    marks = [processor.image_token * (int(each.grid.prod()) // merged) for each in pictures]
    words = text.split(processor.image_token)
    whole = words[0] + "".join(mark + rest for mark, rest in zip(marks, words[1:], strict=True))
    ids = torch.tensor([processor.tokenizer.encode(whole)])
    features = {"input_ids": ids, "mm_token_type_ids": (ids == processor.image_token_id).long()}
    if pictures:
        patches = [torch.from_numpy(each.patches) for each in pictures]
        features["pixel_values"] = patches[0] if len(patches) == 1 else torch.cat(patches)
        features["image_grid_thw"] = torch.stack([torch.from_numpy(each.grid) for each in pictures])
    return build_prompt(core, features, ",".join(each.key for each in pictures))


def build_prompt(core: Any, features: Any, key: str | None = None) -> Prompt:
    """The prompt of one processed text.

    Args:
        core: the inner model; it knows the M-RoPE rule through `get_rope_index`.
        features: what the processor returned for a batch of one, as tensors.
        key: digests of its pictures joined by commas; None to make them here.
    """
    pixels, grid = features.get("pixel_values"), features.get("image_grid_thw")
    positions, _ = core.get_rope_index(
        input_ids=features["input_ids"], mm_token_type_ids=features["mm_token_type_ids"], image_grid_thw=grid
    )
    if key is None:
        parts = () if pixels is None else zip(torch.split(pixels, grid.prod(-1).tolist()), grid, strict=True)
        key = ",".join(digest(patches.numpy(), size.numpy()) for patches, size in parts)
    return Prompt(features["input_ids"][0], positions[:, 0], features["mm_token_type_ids"][0].long(), pixels, grid, key)
