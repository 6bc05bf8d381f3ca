"""What the vision tower says of pictures: each distinct picture goes through it once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from metis_rise.policy.prompt import Prompt

# Features of about 130,000 image tokens of a 7B model in bfloat16.
CACHE_BYTES = 1 << 30
# Bounds the activations of one pass; a picture of more patches goes alone.
PASS_PATCHES = 16384


class FeatureCache:
    """Features by picture digest, the least recently used dropped when they pass `limit` bytes."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        """An empty cache."""
        self.limit = limit
        self._bytes = 0
        self._features: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, key: str) -> Tensor | None:
        """The features of a picture, or None."""
        if key not in self._features:
            return None
        self._features.move_to_end(key)
        return self._features[key]

    def put(self, key: str, features: Tensor) -> None:
        """Remember the features of a picture."""
        self._features[key] = features
        self._bytes += features.nbytes
        while self._bytes > self.limit:
            self._bytes -= self._features.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget everything (the vision tower changed)."""
        self._features.clear()
        self._bytes = 0


def encode_pictures(core: Any, pictures: Sequence[tuple[str, Tensor, Tensor]], device: torch.device) -> list[Tensor]:
    """The vision tower's answer to `pictures` (digest, patches, grid).

    Returns per picture [1 + deepstack levels, image tokens, hidden]: what stands in for its placeholders, then what
    Qwen3-VL adds after its first layers (no levels for Qwen2.5-VL).
    """
    encoded: list[Tensor] = []
    for batch in _passes(pictures):
        pixels = torch.cat([patches for _, patches, _ in batch]).to(device)
        grids = torch.stack([grid for *_, grid in batch]).to(device)
        output = core.get_image_features(pixels, grids, return_dict=True)
        levels = getattr(output, "deepstack_features", None) or []
        encoded += [torch.stack(parts) for parts in zip(output.pooler_output, *levels, strict=True)]
    return encoded


def _passes(pictures: Sequence[tuple[str, Tensor, Tensor]]) -> Iterator[list[tuple[str, Tensor, Tensor]]]:
    batch: list[tuple[str, Tensor, Tensor]] = []
    patches = 0
    for picture in pictures:
        if batch and patches + len(picture[1]) > PASS_PATCHES:
            yield batch
            batch, patches = [], 0
        batch.append(picture)
        patches += len(picture[1])
    yield batch


def encode_prompts(
    core: Any, prompts: Sequence[Prompt], device: torch.device, cache: FeatureCache | None
) -> list[Tensor | None]:
    """Per prompt the features of its pictures, joined along the tokens; None for a prompt without pictures."""
    pictures = {key: (key, patches, grid) for prompt in prompts for key, patches, grid in prompt.pictures()}
    known = {key: found for key in pictures if cache is not None and (found := cache.get(key)) is not None}
    fresh = [picture for key, picture in pictures.items() if key not in known]
    if fresh:
        for (key, *_), features in zip(fresh, encode_pictures(core, fresh, device), strict=True):
            known[key] = features
            if cache is not None:
                cache.put(key, features)
    return [torch.cat([known[key] for key in p.key.split(",")], dim=1) if p.key else None for p in prompts]


def as_encoder_outputs(features: Sequence[Tensor | None]) -> dict[str, Any]:
    """The keyword `mm_encoder_outputs` of the model, for rows in batch order; {} when no row has a picture."""
    present = [feature for feature in features if feature is not None]
    if not present:
        return {}
    # transformers types `pooler_output` as one tensor, but its models join a sequence of them.
    base: Any
    base, *levels = zip(*(feature.unbind() for feature in present), strict=True)
    if not levels:
        return {"image": BaseModelOutputWithPooling(pooler_output=base)}
    deepstack: Any = list(levels)
    return {"image": BaseModelOutputWithDeepstackFeatures(pooler_output=base, deepstack_features=deepstack)}
