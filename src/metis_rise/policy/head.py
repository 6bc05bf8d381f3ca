"""Log-probabilities and entropies of given tokens, from hidden states and the output head's weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Positions whose logits exist at one time: few enough to stay in a CPU's cache, enough to fill a GPU with work.
POSITIONS = 512
# Of a last part of no more logits than this (8 MB) the probabilities are kept for the backward pass, which computes
# those of all other parts again.
KEPT_LOGITS = 1 << 21


def token_logprobs(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability (with gradient) and entropy (without) of each target, both [N] float32.

    The distribution is softmax(hidden @ weight.T / temperature). Logits are made for a few positions at a time and
    made again in the backward pass: no tensor of [N, vocabulary] ever exists. Under autocast the products are
    computed in its type, everything after them in float32.

    Args:
        hidden: [N, hidden].
        weight: [vocabulary, hidden].
        targets: [N] int64.
        temperature: what the logits are divided by.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    values, entropy = _TokenLogProbs.apply(  # type: ignore[no-untyped-call]
        hidden, weight, targets, 1 / temperature, dtype
    )
    return values, entropy


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, scale: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        values = hidden.new_empty(len(targets), dtype=torch.float32)
        normalizers, entropy = torch.empty_like(values), torch.empty_like(values)
        table = weight.to(dtype)
        kept: tuple[Tensor, Tensor] | tuple[None, None] = (None, None)
        with torch.autocast(hidden.device.type, enabled=False):
            for part in _parts(len(targets)):
                logits = _logits(hidden[part], table, scale)
                chosen = logits.gather(-1, targets[part, None])[:, 0]
                top = logits.amax(-1, keepdim=True)
                weights = (logits - top).exp_()
                total = weights.sum(-1)
                normalizer = top[:, 0] + total.log()
                values[part], normalizers[part] = chosen - normalizer, normalizer
                kept = (weights, total) if logits.numel() <= KEPT_LOGITS else (None, None)
                entropy[part] = normalizer - logits.mul_(weights).sum(-1) / total
        ctx.save_for_backward(hidden, weight, targets, normalizers, *kept)
        ctx.scale, ctx.dtype = scale, dtype
        ctx.mark_non_differentiable(entropy)
        return values, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """d value / d logits = scale * (onehot(target) - softmax)."""
        hidden, weight, targets, normalizers, kept, total = ctx.saved_tensors
        for_hidden, for_weight = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if for_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if for_weight else None
        table = weight.to(ctx.dtype)
        for part in _parts(len(targets)):
            states = hidden[part].to(ctx.dtype)
            slope = (grad[part] * ctx.scale)[:, None]
            if kept is None or part.stop < len(targets):
                logits = _logits(states, table, ctx.scale)
                through = logits.sub_(normalizers[part, None]).exp_().mul_(-slope)
            else:
                through = kept * (-slope / total[:, None])
            through.scatter_add_(1, targets[part, None], slope)
            through = through.to(ctx.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = through @ table
            if grad_weight is not None:
                _add_product(grad_weight, through.t(), states)
        return grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype), None, None, None


def _logits(hidden: Tensor, table: Tensor, scale: float) -> Tensor:
    logits = (hidden.to(table.dtype) @ table.t()).float()
    return logits if scale == 1 else logits.mul_(scale)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, the sum kept in float32."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _parts(count: int) -> list[slice]:
    return [slice(start, min(count, start + POSITIONS)) for start in range(0, count, POSITIONS)]
