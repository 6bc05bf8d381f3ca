"""AdamW on the policy's trainable parameters, with a state that fits into safetensors."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from torch import Tensor, nn

from metis_rise.policy.model import Policy

log = logging.getLogger(__name__)


def lr_at(step: int, peak: float, warmup: int = 0, total: int | None = None) -> float:
    """Learning rate of 0-based `step`: linear from peak / warmup to `peak`, then constant.

    With `total` it falls linearly after the warm-up and would be 0 at step `total`.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if total is None:
        return peak
    return peak * max(0, total - step) / max(1, total - warmup)


class Optimizer:
    """AdamW with gradient clipping. Matrices decay, norms and biases (one dimension) do not.

    Attributes:
        steps: updates made.
        skipped: updates refused because the gradient was not finite.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        """An optimizer for what `policy` trains; `max_grad_norm` bounds the global norm of each update's gradient."""
        self.policy = policy
        self.max_grad_norm = max_grad_norm
        self.steps = 0
        self.skipped = 0
        self._named: dict[str, nn.Parameter] = dict(policy.named_trainable())
        matrices = [value for value in self._named.values() if value.ndim > 1]
        vectors = [value for value in self._named.values() if value.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=0.0, betas=betas, eps=eps, fused=True
        )

    def step(self, lr: float) -> float:
        """Update with the gradients that are there, at learning rate `lr`, and clear them.

        Returns the gradient's norm before clipping. When it is not finite nothing is updated: that norm is returned,
        `skipped` grows and a warning is logged.
        """
        norm = float(nn.utils.clip_grad_norm_(self._named.values(), self.max_grad_norm))
        if math.isfinite(norm):
            for group in self._adamw.param_groups:
                group["lr"] = lr
            self._adamw.step()
            self.steps += 1
            self.policy.version += 1
        else:
            self.skipped += 1
            log.warning("update skipped: the gradient norm is %s (%d skipped so far)", norm, self.skipped)
        self._adamw.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """The moments as {"NAME.exp_avg": tensor, ...} and the counters as JSON values."""
        tensors = {
            f"{name}.{part}": value
            for name, parameter in self._named.items()
            for part, value in self._adamw.state.get(parameter, {}).items()
        }
        return tensors, {"steps": self.steps, "skipped": self.skipped}

    def load_state_dict(self, tensors: dict[str, Tensor], counters: dict[str, int]) -> None:
        """Take over what `state_dict` returned; ValueError when it names other parameters."""
        state: dict[Tensor, dict[str, Any]] = {}
        for key, value in tensors.items():
            name, _, part = key.rpartition(".")
            if name not in self._named:
                raise ValueError(f"optimizer state of {name}, which is not trained here")
            parameter = self._named[name]
            # Copies: the update writes into these tensors.
            state.setdefault(parameter, {})[part] = value.to(parameter.device, copy=True)
        self._adamw.state.clear()
        self._adamw.state.update(state)
        self.steps, self.skipped = counters["steps"], counters["skipped"]
