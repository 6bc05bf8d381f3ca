"""The last decoder layer, which after its attention goes on with those tokens alone whose hidden states are asked for.

A prompt's tokens are looked at by what follows them, up to the last layer's keys and values. What that layer's
feed-forward and the final norm make of them is read by nobody, except at the prompt's end, where completions begin.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLDecoderLayer
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextDecoderLayer

from metis_rise.policy.layout import PackedLayout


class _LastLayer(nn.Module):
    """What replaces the forward pass of the layer; both families have the same parts in the same order."""

    input_layernorm: Any
    self_attn: Any
    post_attention_layernorm: Any
    mlp: Any

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[1, T, hidden] -> [1, N, hidden] at the N places that the layout wants; all T without a layout."""
        layout: PackedLayout | None = kwargs.get("rise_layout")
        wanted = None if layout is None else layout.wanted
        if wanted is None:
            whole: Tensor = super().forward(hidden_states, *args, **kwargs)
            return whole
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        states: Tensor = hidden_states.index_select(1, wanted) + attended.index_select(1, wanted)
        further: Tensor = self.mlp(self.post_attention_layernorm(states))
        return states + further


class _LastLayer25(_LastLayer, Qwen2_5_VLDecoderLayer): ...  # type: ignore[no-untyped-call]


class _LastLayer3(_LastLayer, Qwen3VLTextDecoderLayer): ...  # type: ignore[no-untyped-call]


LAYERS = {Qwen2_5_VLDecoderLayer: _LastLayer25, Qwen3VLTextDecoderLayer: _LastLayer3}


def install(model: Any) -> None:
    """Give the last layer of `model` a class of ours; parameters, their names and hooks stay.

    Not where something is added to all tokens after it, as Qwen3-VL does after as many layers as it has deepstack
    levels: a model of so few layers keeps them all.
    """
    layers = model.model.language_model.layers
    levels = len(getattr(model.config.vision_config, "deepstack_visual_indexes", ()))
    if len(layers) > levels and type(layers[-1]) in LAYERS:
        layers[-1].__class__ = LAYERS[type(layers[-1])]


def is_cut(core: Any) -> bool:
    """Whether the language model of the inner model `core` returns the wanted tokens alone."""
    return isinstance(core.language_model.layers[-1], _LastLayer)
