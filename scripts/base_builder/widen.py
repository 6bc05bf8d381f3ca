"""A larger model that computes what a smaller one does (but for a norm's epsilon), to be trained on from there.

The residual stream's new dimensions hold zeros: nothing writes to them yet (embeddings, the output of attention,
MLPs and the vision tower), and what reads them is random, so that training puts them to use. A new layer adds zero.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

# They write to the residual stream.
_WRITERS = ("embed_tokens.weight", "o_proj.weight", "down_proj.weight")
_VISION = "model.visual."


@torch.no_grad()
def widen(small: Qwen2_5_VLForConditionalGeneration, large: Qwen2_5_VLForConditionalGeneration) -> None:
    """Puts the weights of `small` into `large`, whose language model is wider or deeper and the rest the same."""
    old, share = small.state_dict(), _share(small, large)
    for name, weight in large.state_dict().items():
        if name.startswith(_VISION) or name.endswith(_WRITERS):
            weight.zero_()
        if name in old:
            _corner(weight, old[name]).copy_(old[name])
        # A norm divides by the root mean square, which zeros in the new dimensions make smaller.
        if not name.startswith(_VISION) and name.endswith("norm.weight"):
            weight.mul_(share**0.5)


def _share(small: Qwen2_5_VLForConditionalGeneration, large: Qwen2_5_VLForConditionalGeneration) -> float:
    sizes = [int(model.config.text_config.hidden_size) for model in (small, large)]
    return sizes[0] / sizes[1]


def _corner(weight: Tensor, old: Tensor) -> Tensor:
    """The part of `weight` with the shape of `old` at its beginning, as a view."""
    return weight[tuple(slice(size) for size in old.shape)]
