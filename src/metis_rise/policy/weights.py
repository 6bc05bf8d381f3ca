"""The weights of a policy, one whole tensor at a time, whether this process has all of it or shares it with others."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from metis_rise.policy import lora
from metis_rise.policy.model import Policy
from metis_rise.policy.parallel.sharding import whole


def plain_parameters(policy: Policy) -> dict[str, nn.Parameter]:
    """Parameters by the names that they have without adapters, the adapters left out; tied ones come once."""
    return dict(lora.plain(policy.model.named_parameters()))


@torch.no_grad()
def whole_weights(policy: Policy, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Name and value of each of `plain_parameters`, adapters merged.

    Processes that share the policy must all take them all.
    """
    layers = {} if policy.lora is None else dict(lora.layers(policy.model))
    for name, parameter in plain_parameters(policy).items():
        value = whole(parameter)
        if layer := layers.get(name.removesuffix(".weight")):
            value = value.float() + lora.delta(layer, whole)
        yield name, value.to(dtype)
