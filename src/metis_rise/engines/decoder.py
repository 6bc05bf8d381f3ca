"""The language model for sampling: its own trained modules, with less between them than transformers' forward has.

transformers computes masks, positions and rotations at each step that nobody needs here, which tells where a step has a
dozen tokens. And after a prompt only its last hidden state is of use, so the last layer computes no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metis_rise.policy.attention import Layout
from metis_rise.policy.model import Policy

# Cosines and sines [N, 1, dim]; the first half of the sines is negated, so that rotating has nothing to negate.
Rotation = tuple[Tensor, Tensor]


class Rotations:
    """The rotary embedding of a policy; of text it is computed once per position and looked up from then on."""

    def __init__(self, policy: Policy) -> None:
        """No position of text is known yet."""
        self._model = policy.core.language_model
        self._device = policy.device
        self._known = 0

    def of(self, positions: Tensor) -> Rotation:
        """For M-RoPE positions [3, N] int64."""
        cos, sin = (
            table[0, :, None] for table in self._model.rotary_emb(self._model.embed_tokens.weight, positions[:, None])
        )
        low, high = sin.chunk(2, -1)
        return cos, torch.cat([-low, high], -1)

    def prepare(self, positions: int) -> None:
        """Text at positions below `positions` may follow."""
        if positions > self._known:
            self._known = max(positions, 2 * self._known)
            self._cos, self._sin = self.of(torch.arange(self._known, device=self._device).expand(3, -1))

    def of_text(self, positions: Tensor) -> Rotation:
        """For tokens at positions [N], alike on all three axes; beyond what was prepared for, that of the last one.

        Only rows that have ended and are not dropped yet get so far.
        """
        known = positions.clamp(max=self._known - 1)
        return self._cos[known], self._sin[known]


def hidden_states(
    policy: Policy,
    ids: Tensor,
    rotation: Rotation,
    layout: Layout,
    features: Sequence[Tensor | None] = (),
    ends: Tensor | None = None,
) -> Tensor:
    """What the output head takes, of N tokens in one row, or of those at `ends` alone: [N or E, hidden].

    Args:
        policy: whose language model it is.
        ids: [N] int64.
        rotation: that of each token, from `Rotations`.
        layout: who sees whom; tensors are those of a batch of one row.
        features: of the prompts' pictures in the row's order, see `Policy.image_features`.
        ends: [E] int64, indices of the tokens whose states are wanted; None for all.
    """
    model = policy.core.language_model
    states = model.embed_tokens(ids)
    added = _place(policy, ids, states, features)
    for number, layer in enumerate(model.layers):
        attended = _attend(layer, number, states, rotation, layout)
        if ends is not None and number == len(model.layers) - 1:
            attended, states = attended[ends], states[ends]
        states = states + layer.self_attn.o_proj(attended)
        states = states + layer.mlp(layer.post_attention_layernorm(states))
        if number < len(added):
            states = states + added[number]
    states = model.norm(states)
    assert isinstance(states, Tensor)
    return states


def _place(policy: Policy, ids: Tensor, states: Tensor, features: Sequence[Tensor | None]) -> list[Tensor]:
    """Put pictures where their placeholders stand; returns what is added after the first layers, each [N, hidden]."""
    present = [feature for feature in features if feature is not None]
    if not present:
        return []
    places = (ids == policy.placeholder_ids[0]).nonzero()[:, 0]
    first, *levels = torch.cat(present, 1).to(states.dtype)
    states.index_copy_(0, places, first)
    return [torch.zeros_like(states).index_copy_(0, places, level) for level in levels]


def _rotate(heads: Tensor, rotation: Rotation) -> Tensor:
    cos, sin = rotation
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, -1), sin)


def _attend(layer: Any, number: int, states: Tensor, rotation: Rotation, layout: Layout) -> Tensor:
    """Output of one layer's attention before its projection, [N, heads x dim]."""
    attention = layer.self_attn
    normed = layer.input_layernorm(states)
    query, key, value = (
        project(normed).unflatten(-1, (-1, attention.head_dim))
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if hasattr(attention, "q_norm"):
        query, key = attention.q_norm(query), attention.k_norm(key)
    # Under autocast the rotation is computed in float32.
    rotated = _rotate(torch.cat([query, key], 1), rotation).to(value.dtype)
    query, key = torch.split(rotated, [query.shape[1], key.shape[1]], 1)
    query, key, value = (each.transpose(0, 1)[None] for each in (query, key, value))
    return layout.attend(number, query, key, value, attention.scaling)[0].flatten(1)
