"""What all arms of a measurement share: weights, prompts, completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from metis_rise.bench.cases import Case
from metis_rise.bench.model import STUDY, Sizes, build_model
from metis_rise.policy.forward import Row
from metis_rise.policy.loading import TINY, find_folder, load_model
from metis_rise.policy.model import Policy
from metis_rise.policy.processor import load_processor
from metis_rise.policy.prompt import Prompt

# Side of the square of pixels that becomes one image token: patch 14, two by two of them merged.
TOKEN_SIDE = 28
LARGEST_IMAGE = 1024
QUESTION = "Count the red dots and the blue dots, add both numbers and say whether the sum is even."
# Tokens of the study's prompts that are no image tokens, the template's among them.
TEXT_TOKENS = 60
# One token of the tiny base's tokenizer, however often it is repeated.
FILLER = " red"


@dataclass(frozen=True, slots=True)
class Workbench:
    """The same weights twice: in our policy, and in a model as transformers loads it, for the peers.

    Both are on the CPU in float32. For sampling they are a loaded base with a frozen tower; no sampler may draw an end
    token: what the policy bans (`banned_ids`) holds for all arms. For training they are the study's model with random
    weights, all of them trained.
    """

    policy: Policy
    plain: Any
    question: str
    _turns: Iterator[int] = field(default_factory=count)

    @classmethod
    def load(cls, spec: str | Path = TINY) -> Workbench:
        """For sampling: both from `spec`, see `Policy.load`."""
        policy = Policy.load(spec, device="cpu", max_pixels=LARGEST_IMAGE * TOKEN_SIDE**2)
        policy.banned_ids = tuple(sorted({*policy.banned_ids, *policy.eos_ids}))
        return cls(policy, load_model(find_folder(str(spec)), torch.float32).eval(), QUESTION)

    @classmethod
    def study(cls, sizes: Sizes = STUDY) -> Workbench:
        """For training: both of `sizes`, around the tokenizer and the picture processor of the shipped base."""
        processor = load_processor(find_folder(TINY), max_pixels=LARGEST_IMAGE * TOKEN_SIDE**2)
        models = [build_model(sizes, processor.tokenizer) for _ in range(2)]
        policy = Policy(models[0], processor, {}, freeze_vision=False)
        around = len(policy.encode(_message(""), [_noise(1, 2)[0]])) - 4
        return cls(policy, models[1], FILLER * (TEXT_TOKENS - around))

    def prompts(self, case: Case) -> list[Prompt]:
        """Prompts of equal length, each with a noise picture of its own."""
        pictures = _noise(case.prompts, isqrt(case.image_tokens))
        prompts = [self.policy.encode(_message(self.question), [picture]) for picture in pictures]
        assert all(int(prompt.mm_token_type_ids.sum()) == case.image_tokens for prompt in prompts)
        return prompts

    def rows(self, case: Case) -> list[Row]:
        """The prompts with random completions, those of one prompt together."""
        random = torch.Generator().manual_seed(1)
        # No part of a picture, no end: what follows the tokenizer's special ids.
        first, last = len(self.policy.tokenizer.get_added_vocab()), self.policy.model.config.text_config.vocab_size
        completions = [torch.randint(first, last, (length,), generator=random) for length in case.lengths()]
        prompts = [prompt for prompt in self.prompts(case) for _ in range(case.group_size)]
        return list(zip(prompts, completions, strict=True))

    def unseen(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The same prompts, their pictures under keys that the policy has no features of: it must encode them."""
        turn = next(self._turns)
        return [replace(prompt, key=f"{prompt.key}-{turn}") for prompt in prompts]


def repeated_pictures(prompts: Sequence[Prompt]) -> dict[str, Tensor]:
    """Keywords of a transformers model for the pictures of `prompts`, as often as they occur."""
    pixels = [prompt.pixel_values for prompt in prompts if prompt.pixel_values is not None]
    grids = [prompt.image_grid_thw for prompt in prompts if prompt.image_grid_thw is not None]
    return {"pixel_values": torch.cat(pixels), "image_grid_thw": torch.cat(grids)}


def _message(question: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]


def _noise(number: int, side: int) -> list[Image.Image]:
    """Square pictures of `side` image tokens by `side`."""
    shape = (number, side * TOKEN_SIDE, side * TOKEN_SIDE, 3)
    return [Image.fromarray(pixels) for pixels in np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)]
