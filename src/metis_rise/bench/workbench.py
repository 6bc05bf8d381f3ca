"""What all arms of a measurement share: weights, prompts, completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from metis_rise.bench.cases import Case
from metis_rise.bench.model import STUDY, Sizes, build_model
from metis_rise.policy.forward import Row
from metis_rise.policy.loading import TINY, find_folder
from metis_rise.policy.model import Policy
from metis_rise.policy.processor import load_processor
from metis_rise.policy.prompt import Prompt

# Side of the square of pixels that becomes one image token: patch 14, two by two of them merged.
TOKEN_SIDE = 28
LARGEST_PIXELS = 1024 * TOKEN_SIDE**2
# Tokens of the study's prompts that are no image tokens, the template's among them.
TEXT_TOKENS = 60
# One token of the tiny base's tokenizer, however often it is repeated.
FILLER = " red"


@dataclass(frozen=True, slots=True)
class Workbench:
    """The same weights twice: in our policy, and in a model as transformers loads it, for the peers.

    Both are on the CPU in float32, the study's model with random weights, all of them trained. No sampler may draw an
    end token: what the policy bans (`banned_ids`) holds for all arms.
    """

    policy: Policy
    plain: Any
    question: str

    @classmethod
    def study(cls, sizes: Sizes = STUDY) -> Workbench:
        """Both of `sizes`, around the tokenizer and the picture processor of the shipped base."""
        processor = load_processor(find_folder(TINY), max_pixels=LARGEST_PIXELS)
        models = [build_model(sizes, processor.tokenizer) for _ in range(2)]
        policy = Policy(models[0], processor, {}, freeze_vision=False)
        policy.banned_ids = tuple(sorted({*policy.banned_ids, *policy.eos_ids}))
        around = len(policy.encode(_message(""), [_noise(1, 2, 0)[0]])) - 4
        # Without its leading space, which a problem's question loses.
        return cls(policy, models[1], (FILLER * (TEXT_TOKENS - around)).lstrip())

    def pictures(self, case: Case, turn: int = 0) -> list[Image.Image]:
        """One square picture of noise per problem; other ones for another `turn`."""
        return _noise(case.prompts, isqrt(case.image_tokens), turn)

    def prompts(self, case: Case, turn: int = 0) -> list[Prompt]:
        """Prompts of equal length, each with a picture of its own."""
        prompts = [self.policy.encode(_message(self.question), [one]) for one in self.pictures(case, turn)]
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


def repeated_pictures(prompts: Sequence[Prompt]) -> dict[str, Tensor]:
    """Keywords of a transformers model for the pictures of `prompts`, as often as they occur."""
    pixels = [prompt.pixel_values for prompt in prompts if prompt.pixel_values is not None]
    grids = [prompt.image_grid_thw for prompt in prompts if prompt.image_grid_thw is not None]
    return {"pixel_values": torch.cat(pixels), "image_grid_thw": torch.cat(grids)}


def _message(question: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]


def _noise(number: int, side: int, seed: int) -> list[Image.Image]:
    """Square pictures of `side` image tokens by `side`."""
    shape = (number, side * TOKEN_SIDE, side * TOKEN_SIDE, 3)
    return [Image.fromarray(pixels) for pixels in np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)]
