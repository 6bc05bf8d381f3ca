"""Muon for the hidden matrices, Adam for the rest.

`torch.optim.Muon` orthogonalises matrix by matrix in bfloat16, which takes 0.9 s a step for these 42 matrices
on a CPU without bfloat16 units, twice the forward and backward pass; here matrices of one shape go together in
float32. Muon: https://kellerjordan.github.io/posts/muon/.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
# Coefficients of the quintic Newton-Schulz iteration, from the Muon article.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class MuonAdam:
    """One optimizer over `named` parameters; a learning rate is given at every step."""

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]]) -> None:
        self._matrices: dict[tuple[int, int], list[nn.Parameter]] = {}
        rest: list[nn.Parameter] = []
        for name, parameter in named:
            if parameter.ndim == 2 and "embed" not in name and "head" not in name:
                self._matrices.setdefault((parameter.shape[0], parameter.shape[1]), []).append(parameter)
            else:
                rest.append(parameter)
        self._momenta = {shape: torch.zeros(len(ps), *shape) for shape, ps in self._matrices.items()}
        self._adam = torch.optim.AdamW(rest, lr=1.0, betas=(0.9, 0.98), weight_decay=0.0)
        self._all = [p for ps in self._matrices.values() for p in ps] + rest

    def step(self, learning_rate: float) -> None:
        """Clips the gradient's norm to 1, updates every parameter and clears the gradients."""
        torch.nn.utils.clip_grad_norm_(self._all, 1.0)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        for shape, parameters in self._matrices.items():
            gradient = torch.stack([torch.zeros(shape) if p.grad is None else p.grad for p in parameters])
            momentum = self._momenta[shape].lerp_(gradient, 1 - _MOMENTUM)
            update = _orthogonal(gradient.lerp(momentum, _MOMENTUM))
            scale = -learning_rate * 0.2 * max(shape) ** 0.5
            for parameter, direction in zip(parameters, update, strict=True):
                parameter.data.add_(direction, alpha=scale)
        for parameter in self._all:
            parameter.grad = None


def _orthogonal(stack: Tensor) -> Tensor:
    tall = stack.shape[1] > stack.shape[2]
    x = stack.transpose(1, 2) if tall else stack
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-9)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x
