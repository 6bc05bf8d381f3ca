"""The vision tower as transformers has it, computed in fewer and faster calls.

transformers hands a tower's attention function one window at a time, dozens to hundreds per picture and layer, unless
the implementation's name holds "flash"; then it hands over everything with the windows' bounds. Ours has such a name.
A second model must therefore not be built from the config object of one that runs here (its saved folder is fine).

The tower's first layer is a convolution whose kernel is as large as a patch, which is a matrix product; computed as a
convolution it is several times slower on the CPU, and reported so for bfloat16 on CUDA (transformers issue 45750).
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import varlen
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from metis_rise.policy.backends.varlen import DTYPES, fault

NAME = "metis_rise_flash_windows"


class PatchProjection(nn.Conv3d):
    """A convolution over whole patches, each [channels, time, height, width], as one matrix product."""

    def forward(self, input: Tensor) -> Tensor:
        """[patches, channels, time, height, width] -> [patches, width of the tower]."""
        return F.linear(input.flatten(1), self.weight.flatten(1), self.bias)


def install(model: Any) -> None:
    """Let the vision tower of `model` compute its first layer so; its attention is set with the language model's."""
    AttentionInterface.register(NAME, attend_windows)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    projection = model.model.visual.patch_embed.proj
    assert type(projection) in (nn.Conv3d, PatchProjection) and projection.kernel_size == projection.stride
    # The parameters, their names and the hooks stay; what changes is how the product is computed.
    projection.__class__ = PatchProjection


def attend_windows(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Each window's attention to itself, for query, key and value [1, heads, patches, dim].

    Args:
        module: unused; the interface names it.
        query: of all windows, one after another.
        key: alike.
        value: alike.
        attention_mask: none, the bounds say everything.
        scaling: what scores are multiplied by.
        cu_seq_lens_q: [windows + 1], where windows begin and end.
        max_length_q: patches of the largest window.
        kwargs: what else transformers passes.

    Returns:
        [1, patches, heads, dim], and no weights.
    """
    # Rotary embedding leaves query and key in float32 under autocast.
    states = [tensor[0].to(value.dtype) for tensor in (query, key, value)]
    if value.is_cuda and value.dtype in DTYPES and fault(value.device) is None:
        return _on_cuda(states, cu_seq_lens_q.to(torch.int32), max_length_q, scaling), None
    outputs, start = [], 0
    for length, windows in groupby(cu_seq_lens_q.diff().tolist()):
        count = len(list(windows))
        stop = start + count * length
        alike = (torch.unflatten(tensor[:, start:stop], 1, (count, length)).transpose(0, 1) for tensor in states)
        query, key, value = alike
        output = F.scaled_dot_product_attention(query, key, value, scale=scaling)
        outputs.append(output.transpose(1, 2).flatten(0, 1))
        start = stop
    return torch.cat(outputs)[None], None


def _on_cuda(states: list[Tensor], bounds: Tensor, longest: int, scaling: float) -> Tensor:
    query, key, value = (tensor.transpose(0, 1).contiguous() for tensor in states)
    output = varlen.varlen_attn(query, key, value, bounds, bounds, longest, longest, scale=scaling)
    assert isinstance(output, Tensor)
    return output[None]
