"""Norms and gated feed-forwards of the models, which keep less for the backward pass than autograd does by itself.

The forward pass is transformers' own arithmetic, to the bit. Of an RMSNorm autograd keeps the input and, as large
again, the normed input; of `silu(gate) * up` it keeps `gate`, `silu(gate)` and `up`. Here the second tensor of both is
left out and computed again in the backward pass, in fewer steps than autograd takes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from transformers.activations import ACT2FN
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLMLP, Qwen2_5_VLRMSNorm, Qwen2MLP
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextMLP, Qwen3VLTextRMSNorm


class _Norm(nn.Module):
    """What replaces the forward pass of an RMSNorm; `weight` and `variance_epsilon` are the module's."""

    weight: nn.Parameter
    variance_epsilon: float

    def forward(self, hidden_states: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            whole: Tensor = super().forward(hidden_states)
            return whole
        output: Tensor = _RmsNorm.apply(hidden_states, self.weight, self.variance_epsilon)  # type: ignore[no-untyped-call]
        return output


class _GatedMlp(nn.Module):
    """What replaces the forward pass of a feed-forward whose activation is silu; its parts are the module's."""

    gate_proj: Any
    up_proj: Any
    down_proj: Any

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            whole: Tensor = super().forward(x)
            return whole
        product = _Gated.apply(self.gate_proj(x), self.up_proj(x))  # type: ignore[no-untyped-call]
        output: Tensor = self.down_proj(product)
        return output


class _Norm25(_Norm, Qwen2_5_VLRMSNorm): ...


class _Norm3(_Norm, Qwen3VLTextRMSNorm): ...


class _VisionMlp25(_GatedMlp, Qwen2_5_VLMLP): ...


class _Mlp25(_GatedMlp, Qwen2MLP): ...


class _Mlp3(_GatedMlp, Qwen3VLTextMLP): ...


NORMS = {Qwen2_5_VLRMSNorm: _Norm25, Qwen3VLTextRMSNorm: _Norm3}
MLPS = {Qwen2_5_VLMLP: _VisionMlp25, Qwen2MLP: _Mlp25, Qwen3VLTextMLP: _Mlp3}


def install(model: Any) -> None:
    """Give the norms and feed-forwards of `model` classes of ours; parameters, their names and hooks stay."""
    for module in model.modules():
        if type(module) in NORMS:
            module.__class__ = NORMS[type(module)]
        elif type(module) in MLPS and type(module.act_fn) is type(ACT2FN["silu"]):
            module.__class__ = MLPS[type(module)]


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        exact = states.float()
        scale = torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(states, weight, scale)
        return weight * (exact * scale).to(states.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """With n = states * scale: d states = scale * (grad * weight - n * mean(grad * weight * n))."""
        states, weight, scale = ctx.saved_tensors
        normed, grad = states.float() * scale, grad.float()
        shares = grad * normed
        for_weight = shares.flatten(0, -2).sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        mean = shares.mul_(weight).mean(-1, keepdim=True)
        slope = (grad * weight).addcmul_(normed, mean, value=-1).mul_(scale)
        return slope.to(states.dtype), for_weight, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        slope = grad * up
        torch.ops.aten.silu_backward.grad_input(slope, gate, grad_input=slope)
        return slope, F.silu(gate).mul_(grad)
