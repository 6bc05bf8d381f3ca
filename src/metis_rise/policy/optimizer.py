"""AdamW on the policy's trainable parameters, with a state that fits into safetensors."""

from __future__ import annotations

import logging
import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metis_rise.policy.model import Policy
from metis_rise.policy.parallel.sharding import whole

log = logging.getLogger(__name__)
MASTER = "master"
# Key of a parameter group: its learning rate as a share of the one given to `step`.
FACTOR = "lr_factor"

Schedule = Literal["linear", "cosine", "constant"]


def lr_at(step: int, peak: float, warmup: int = 0, total: int | None = None, schedule: Schedule = "linear") -> float:
    """Learning rate of 0-based `step`: linear from peak / warmup to `peak`, then constant.

    With `total` it falls after the warm-up, in a line or in half a cosine wave, and would be 0 at step `total`.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if total is None or schedule == "constant":
        return peak
    left = max(0, total - step) / max(1, total - warmup)
    return peak * left if schedule == "linear" else peak * (1 - math.cos(math.pi * left)) / 2


class Optimizer:
    """AdamW with gradient clipping. Matrices decay, norms and biases (one dimension) do not.

    Parameters of lower precision are updated through float32 masters kept here: a step of 1e-6 is below half a unit
    in the last place of nearly every bfloat16 weight and would be lost.

    Attributes:
        steps: updates made.
        skipped: updates refused because loss or gradient was not finite.
        skipped_in_row: those since the last update that was made.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
        vision_lr_factor: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        """An optimizer for what `policy` trains.

        Args:
            policy: whose parameters are updated.
            weight_decay: of AdamW, for matrices.
            max_grad_norm: bounds the global norm of each update's gradient.
            vision_lr_factor: learning rate of the vision tower as a share of that given to `step`.
            betas: of AdamW.
            eps: of AdamW.
        """
        self.policy = policy
        self.max_grad_norm = max_grad_norm
        self.steps = 0
        self.skipped = self.skipped_in_row = 0
        self._named: dict[str, nn.Parameter] = dict(policy.named_trainable())
        self._masters = {name: _master(value) for name, value in self._named.items()}
        tower = set(policy.core.visual.parameters())
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, value in self._named.items():
            kind = (weight_decay if value.ndim > 1 else 0.0, vision_lr_factor if value in tower else 1.0)
            groups.setdefault(kind, []).append(self._masters[name])
        self._adamw = torch.optim.AdamW(
            [{"params": params, "weight_decay": decay, FACTOR: factor} for (decay, factor), params in groups.items()],
            lr=0.0,
            betas=betas,
            eps=eps,
            fused=True,
        )

    def step(self, lr: float, loss: float = 0.0) -> float:
        """Update with the gradients that are there, at learning rate `lr` (a trained tower: its share), and clear them.

        Returns the gradient's norm before clipping. When it or the `loss` is not finite nothing is updated: that norm
        is returned, `skipped` grows and a warning is logged.
        """
        norm = float(whole(nn.utils.clip_grad_norm_(self._named.values(), self.max_grad_norm)))
        if math.isfinite(norm) and math.isfinite(loss):
            for group in self._adamw.param_groups:
                group["lr"] = lr * group[FACTOR]
            self._update()
            self.steps += 1
            self.policy.version += 1
            self.skipped_in_row = 0
        else:
            self.skipped += 1
            self.skipped_in_row += 1
            said = "update skipped: the loss is %s, the gradient norm %s (%d skipped so far)"
            log.warning(said, loss, norm, self.skipped)
        for value in self._named.values():
            value.grad = None
        return norm

    def _update(self) -> None:
        """One AdamW step on the masters, which are the parameters themselves where these are float32."""
        apart = [(value, self._masters[name]) for name, value in self._named.items() if self._apart(name)]
        for value, master in apart:
            master.grad = None if value.grad is None else value.grad.float()
        self._adamw.step()
        with torch.no_grad():
            for value, master in apart:
                value.copy_(master)
                master.grad = None

    def _apart(self, name: str) -> bool:
        return self._masters[name] is not self._named[name]

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is updated, by name: the float32 masters, which may be the policy's own parameters."""
        return dict(self._masters)

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """The moments as {"NAME.exp_avg": tensor, ...}, masters as "NAME.master", and the counters as JSON values."""
        tensors = {
            f"{name}.{part}": value
            for name, master in self._masters.items()
            for part, value in self._adamw.state.get(master, {}).items()
        }
        tensors |= {f"{name}.{MASTER}": value.detach() for name, value in self._masters.items() if self._apart(name)}
        counters = {"steps": self.steps, "skipped": self.skipped, "skipped_in_row": self.skipped_in_row}
        return tensors, counters

    def load_state_dict(self, tensors: dict[str, Tensor], counters: dict[str, int]) -> None:
        """Take over what `state_dict` returned; ValueError when it names other parameters."""
        state: dict[Tensor, dict[str, Any]] = {}
        for key, value in tensors.items():
            name, _, part = key.rpartition(".")
            if name not in self._named:
                raise ValueError(f"optimizer state of {name}, which is not trained here")
            master = self._masters[name]
            if part == MASTER:
                with torch.no_grad():
                    master.copy_(value)
                continue
            # Copies: the update writes into these tensors.
            state.setdefault(master, {})[part] = value.to(master.device, copy=True)
        self._adamw.state.clear()
        self._adamw.state.update(state)
        self.steps, self.skipped = counters["steps"], counters["skipped"]
        # Older checkpoints do not know it.
        self.skipped_in_row = counters.get("skipped_in_row", 0)


def _master(parameter: nn.Parameter) -> nn.Parameter:
    return parameter if parameter.dtype == torch.float32 else nn.Parameter(parameter.detach().float())
