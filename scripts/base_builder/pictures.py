"""Pictures to patches and features in bulk; the gate checks that this equals the shipped image processor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from metis_rise.problems.world.canvas import GRID, SIZE

_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
_PATCH, _MERGE = 14, 2
PATCHES = (SIZE // _PATCH) ** 2
IMAGE_TOKENS = GRID * GRID


def patches(images: Sequence[Image.Image]) -> Tensor:
    """112x112 RGB pictures as Qwen2.5-VL patches, float32 [pictures * 64, 1176]."""
    pixels = (np.stack([np.asarray(image) for image in images]).astype(np.float32) / 255 - _MEAN) / _STD
    n = len(images)
    split = pixels.transpose(0, 3, 1, 2).reshape(n, 3, GRID, _MERGE, _PATCH, GRID, _MERGE, _PATCH)
    ordered = split.transpose(0, 2, 5, 3, 6, 1, 4, 7).reshape(n * PATCHES, 3, 1, _PATCH * _PATCH)
    return torch.from_numpy(np.repeat(ordered, 2, axis=2).reshape(n * PATCHES, -1))


def features(model: Qwen2_5_VLForConditionalGeneration, pixels: Tensor) -> Tensor:
    """The vision tower's output, float32 [pictures, 16, hidden]."""
    count = pixels.shape[0] // PATCHES
    side = SIZE // _PATCH
    grid = torch.tensor([[1, side, side]] * count)
    output = model.model.get_image_features(pixels, grid, return_dict=True)
    return torch.stack(list(output.pooler_output))
