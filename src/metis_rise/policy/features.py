"""What the vision tower says of pictures: each distinct picture goes through it once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from metis_rise.policy.prompt import Prompt

# Patches [patches, patch dim] and grid [3].
Picture = tuple[Tensor, Tensor]

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


class SharedFeatures:
    """Features with gradient that several passes use: the passes see leaves, the tower goes backward once, at the end.

    Attributes:
        known: the leaves by picture digest.
    """

    def __init__(self, encoded: Mapping[str, Tensor]) -> None:
        """`encoded`: features by digest, as the tower made them."""
        self._encoded = list(encoded.values())
        self.known = {key: value.detach().requires_grad_(value.requires_grad) for key, value in encoded.items()}

    def backward(self) -> None:
        """Send what the leaves have collected through the vision tower."""
        backward_from(self._encoded, list(self.known.values()))


def backward_from(ends: Sequence[Tensor], leaves: Sequence[Tensor]) -> None:
    """Go backward from `ends` with the gradients that their detached copies `leaves` have collected."""
    pairs = [(end, leaf.grad) for end, leaf in zip(ends, leaves, strict=True) if leaf.grad is not None]
    if pairs:
        torch.autograd.backward([end for end, _ in pairs], [grad for _, grad in pairs])


def distinct_pictures(prompts: Iterable[Prompt]) -> dict[str, Picture]:
    """The pictures of `prompts` by digest."""
    return {key: (patches, grid) for prompt in prompts for key, patches, grid in prompt.pictures()}


def join_features(prompt: Prompt, features: Mapping[str, Tensor]) -> Tensor | None:
    """The features of the prompt's pictures, joined along the tokens; None for a prompt without pictures."""
    return torch.cat([features[key] for key, *_ in prompt.pictures()], dim=1) if prompt.key else None


def encode_pictures(core: Any, pictures: Sequence[Picture], device: torch.device) -> list[Tensor]:
    """The vision tower's answer to `pictures`.

    Returns per picture [1 + deepstack levels, image tokens, hidden]: what stands in for its placeholders, then what
    Qwen3-VL adds after its first layers (no levels for Qwen2.5-VL).
    """
    encoded: list[Tensor] = []
    for batch in _passes(pictures):
        # Of one picture, the usual case, no copy is made: it may be the largest tensor of an update.
        pixels = (batch[0][0] if len(batch) == 1 else torch.cat([patches for patches, _ in batch])).to(device)
        grids = torch.stack([grid for _, grid in batch]).to(device)
        output = core.get_image_features(pixels, grids, return_dict=True)
        levels = getattr(output, "deepstack_features", None) or []
        encoded += [torch.stack(parts) for parts in zip(output.pooler_output, *levels, strict=True)]
    return encoded


def tower_calls(pictures: Sequence[Picture]) -> int:
    """How often `encode_pictures` calls the tower for `pictures`."""
    return sum(1 for _ in _passes(pictures))


def _passes(pictures: Sequence[Picture]) -> Iterator[list[Picture]]:
    batch: list[Picture] = []
    patches = 0
    for picture in pictures:
        if batch and patches + len(picture[0]) > PASS_PATCHES:
            yield batch
            batch, patches = [], 0
        batch.append(picture)
        patches += len(picture[0])
    if batch:
        yield batch


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
