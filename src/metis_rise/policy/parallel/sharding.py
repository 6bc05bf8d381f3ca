"""Cutting a model into parts (FSDP2): each vision block, each decoder layer, and the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from metis_rise.policy.parallel.mesh import Parallel

T = TypeVar("T")
# Read from a file and copied at one time.
PIECE_BYTES = 64 << 20


class Root(nn.Module):
    """The whole model, and what a forward pass of it is: a call that uses its modules in any way.

    The policy calls the inner model and the output head's weight apart from each other, and the vision tower on its
    own. Within the call the weights that belong to no block (embedding, norms, head) are whole.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, call: Callable[[], T]) -> T:
        """What `call` returns; tensors with gradient must be in it, as tuple or dict, for the backward pass."""
        return call()


def shard(model: Any, parallel: Parallel, *, mixed: bool) -> Root:
    """Cut `model`, which may be on the meta device; with `mixed` float32 parts are computed with in bfloat16.

    Gradients are added up in float32, and summed over the processes, not averaged.
    """
    # Rotary tables come in as float32 and must not be rounded, so inputs are not cast.
    precision = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if mixed else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    settings: dict[str, Any] = {
        "mesh": parallel.mesh,
        "mp_policy": precision,
        "offload_policy": parallel.offload_policy,
        "reshard_after_forward": True,
    }
    for block in (*model.model.visual.blocks, *model.model.language_model.layers):
        fully_shard(block, **settings)
    root = Root(model)
    fully_shard(root, **settings)
    for module in fsdp_modules(root):
        module.set_gradient_divide_factor(1.0)
        # gloo knows no other reduction.
        module.set_force_sum_reduction_for_comms(True)
    _prefetch(root, model.model.visual.blocks)
    _prefetch(root, model.model.language_model.layers)
    return root


def _prefetch(root: Any, blocks: Any) -> None:
    """In the backward pass each block asks for the one before it, the first for the root, which is there already.

    FSDP would otherwise go by the order of past forward passes, in which processes differ: they sample apart.
    """
    for before, block in zip([root, *blocks], blocks, strict=False):
        block.set_modules_to_backward_prefetch([before])
    root.set_modules_to_backward_prefetch([blocks[-1]])


def fsdp_modules(root: nn.Module) -> list[Any]:
    """The modules that have parts of their own, the root first."""
    return [module for module in root.modules() if isinstance(module, FSDPModule)]


@contextlib.contextmanager
def made_whole(root: nn.Module) -> Iterator[None]:
    """Within it every process has all weights and computes without the others (collective at both ends)."""
    modules = fsdp_modules(root)
    for module in modules:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in modules:
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()


def allocate(root: nn.Module, model: Any, parallel: Parallel) -> None:
    """Give the parts of a model on the meta device memory, and its tables (of rotary embeddings) their values."""
    root.to_empty(device=parallel.kept_on)
    model.tie_weights()
    for module in model.modules():
        tables = dict(module.named_buffers(recurse=False))
        if tables:
            for name, table in tables.items():
                setattr(module, name, table.to(parallel.device))
            # transformers computes them here when it loads a model.
            model._init_weights(module)


@torch.no_grad()
def fill(parameter: Tensor, read: Callable[[int, int], Tensor]) -> None:
    """Fill this process's part of `parameter`; `read(start, stop)` gives rows of the whole."""
    local, first = own_part(parameter)
    rows = max(1, PIECE_BYTES // max(1, local[:1].nbytes)) if local.numel() else 1
    for start in range(0, local.shape[0] if local.numel() else 0, rows):
        stop = min(local.shape[0], start + rows)
        local[start:stop].copy_(read(first + start, first + stop))


@torch.no_grad()
def put(parameter: Tensor, value: Tensor) -> None:
    """Give `parameter` the whole `value`, or this process's part of it."""
    if isinstance(parameter, DTensor):
        fill(parameter, lambda start, stop: value[start:stop])
    else:
        parameter.copy_(value)


def own_part(parameter: Tensor) -> tuple[Tensor, int]:
    """This process's part of `parameter`, and the row of the whole that it begins with; FSDP cuts along rows."""
    assert isinstance(parameter, DTensor)
    parts, part = parameter.device_mesh.size(-1), parameter.device_mesh.get_local_rank(parameter.device_mesh.ndim - 1)
    return parameter.to_local(), part * -(-parameter.shape[0] // parts)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each process has a part (collective); any other tensor as it is."""
    if not isinstance(tensor, DTensor):
        return tensor
    # `detach` of a DTensor is typed as a plain tensor's.
    part: Any = tensor.detach()
    found: Tensor = part.full_tensor()
    return found
