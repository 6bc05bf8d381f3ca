"""TRL's own GRPO loss on given log-probabilities: the reference of our objectives."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import torch
from torch import Tensor


def trl_loss(
    logp: Tensor,
    mask: Tensor,
    old: Tensor,
    ref: Tensor,
    advantages: Tensor,
    *,
    kind: str,
    level: str,
    bounds: dict[str, float],
    beta: float,
    importance: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """GRPOTrainer._compute_loss and its metrics, as in one step without accumulation.

    `logp`, `old`, `ref`, `importance` and `mask` are [rows, longest], right-padded; `bounds` are TRL's epsilons.
    `importance` is what its vllm_importance_sampling_mode="token_truncate" would hand to the loss.
    """
    from trl.trainer.grpo_trainer import GRPOTrainer

    metrics: defaultdict[str, list[float]] = defaultdict(list)
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (logp, torch.zeros_like(logp), None),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level=level,
        beta=beta,
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        loss_type=kind,
        use_vllm=importance is not None,
        vllm_importance_sampling_correction=importance is not None,
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x),
        current_gradient_accumulation_steps=1,
        max_completion_length=mask.shape[1],
        _entropy_bonus_enabled=False,
        _metrics={"train": metrics},
        **bounds,
    )
    inputs = {
        "prompt_ids": torch.zeros(len(mask), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(mask), 1, dtype=torch.long),
        "completion_ids": torch.zeros(mask.shape, dtype=torch.long),
        "completion_mask": mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": ref,
        "num_items_in_batch": mask.sum(),
        "importance_sampling_ratio": importance,
    }
    loss: Tensor = GRPOTrainer._compute_loss(trainer, None, inputs)
    return loss, {name: values[0] for name, values in metrics.items()}
