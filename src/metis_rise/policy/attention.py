"""One attention function for the language model, registered with transformers for good.

A caller that wants more than causal attention passes an object with a method `attend` as the plain forward keyword
`rise_layout`; without it the function is transformers' SDPA. The implementation named in the config is never switched
around a forward: gradient checkpointing would run the layer again after the switch had been undone.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from metis_rise.policy import last_layer, lean, vision

NAME = "metis_rise"


class Layout(Protocol):
    """How the tokens of one forward pass see each other and what came before."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attention output [batch, tokens, heads, dim] for query [batch, heads, tokens, dim] and key, value alike."""
        ...


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    rise_layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    if rise_layout is None:
        output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return output
    layer: Any = module.layer_idx
    if torch.is_autocast_enabled(query.device.type):
        # Rotary embedding leaves query and key in float32; torch's own attention would be cast by autocast, ours not.
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    return rise_layout.attend(layer, query, key, value, kwargs["scaling"]), None


def install(model: Any) -> None:
    """Make the language model of `model` use the function, its vision tower that of `vision`, and the modules of both
    the cheaper forms of `lean` and `last_layer`."""
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    vision.install(model)
    lean.install(model)
    last_layer.install(model)
    model.set_attn_implementation({"text_config": NAME, "vision_config": vision.NAME})
