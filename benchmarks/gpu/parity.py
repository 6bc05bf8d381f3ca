"""Is what an arm computes in bfloat16 as near to float32 as what the padded batch computes in bfloat16?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gpu.arms import PACKED, PADDED, PADDING_FREE, Job
from gpu.cases import make_rows
from gpu.shapes import Shape, make_config, make_model
from metis_rise.policy.model import Policy

SPLIT = "packed_split"
# Rounding is random: two exact ways differ a little in their error, a wrong mask by far more than this.
LIMIT = 1.5
Result = tuple[list[Tensor], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one arm, against float32.

    logp, logp_max: root of the mean square, and greatest, difference of a log-probability.
    gradient: norm of the difference over the norm, all tensors together.
    cosine, tensor: the least cosine of a tensor's gradients, and that tensor's name.
    """

    logp: float
    logp_max: float
    gradient: float
    cosine: float
    tensor: str


def check_parity(shape: Shape, policy_parts: tuple[Any, dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """Errors of every arm and whether they pass, for the widths of `shape` with few layers, everything trained.

    `policy_parts` are a processor and side files.
    """
    model = make_model(make_config(shape, shape.parity_layers), device, torch.bfloat16)
    processor, files = policy_parts
    policy = Policy(model, processor, files, freeze_vision=False, gradient_checkpointing=True)
    rows = make_rows(shape, policy.core, shape.parity_pictures, shape.parity_lengths)
    # Every token counts differently, so that no two gradients cancel.
    draw = torch.Generator().manual_seed(3)
    weights = [torch.randn(len(completion), generator=draw).to(device) for _, completion in rows]
    total = sum(map(len, weights))

    def loss(values: Tensor, members: Sequence[int]) -> Tensor:
        return (values * torch.cat([weights[i] for i in members])).sum() / total

    everything = sum(len(prompt) + len(completion) for prompt, completion in rows)
    largest = max(len(prompt) for prompt, _ in rows)
    # Room for the longest completion beside the largest prompt: every group is split.
    tight = largest + max(shape.parity_lengths)
    jobs = {
        PACKED: (PACKED, everything),
        SPLIT: (PACKED, tight),
        PADDING_FREE: (PADDING_FREE, everything),
        # Comes last: it is what transformers computes, the vision tower included.
        PADDED: (PADDED, 2 * everything),
    }
    found = {}
    for name, (arm, budget) in jobs.items():
        if arm == PADDED:
            restore_tower(model)
        found[name] = _run(policy, Job(policy, rows, loss, budget), arm)
    policy.model.zero_grad(set_to_none=True)
    # The same weights, exactly.
    model.float()
    reference = _run(policy, Job(policy, rows, loss, 2 * everything), PADDED)
    errors = {name: _errors(result, reference) for name, result in found.items()}
    return _verdict(errors, policy)


def restore_tower(model: Any) -> None:
    """Let the vision tower of `model` compute as transformers wrote it, after a policy took it over."""
    model.model.visual.patch_embed.proj.__class__ = nn.Conv3d
    model.set_attn_implementation({"vision_config": "sdpa"})


def _verdict(errors: dict[str, Errors], policy: Policy) -> dict[str, Any]:
    base = errors[PADDED]
    ratios = {
        name: {"logp": round(own.logp / base.logp, 3), "gradient": round(own.gradient / base.gradient, 3)}
        for name, own in errors.items()
        if name != PADDED
    }
    return {
        "passed": all(ratio <= LIMIT for own in ratios.values() for ratio in own.values()),
        "limit": LIMIT,
        "backend": policy.backend.name,
        "backend_reason": policy.backend.reason,
        "ratio": ratios,
        "errors": {name: asdict(own) for name, own in errors.items()},
    }


def _run(policy: Policy, job: Job, arm: str) -> Result:
    policy.model.zero_grad(set_to_none=True)
    values = job.run(arm)
    # Not cloned: the next zero_grad lets go of them, and nothing else writes to them.
    gradients = {name: value.grad for name, value in policy.named_trainable() if value.grad is not None}
    return values, gradients


def _errors(result: Result, reference: Result) -> Errors:
    values, gradients = result
    expected, slopes = reference
    difference = torch.cat(values) - torch.cat(expected)
    cosines: dict[str, float] = {}
    missed = total = 0.0
    assert gradients.keys() == slopes.keys()
    for name, slope in slopes.items():
        own = gradients[name].float()
        missed += float((own - slope).square().sum())
        total += float(slope.square().sum())
        cosines[name] = float((own * slope).sum() / (own.norm() * slope.norm()).clamp(min=1e-30))
    worst = min(cosines, key=cosines.__getitem__)
    return Errors(
        float(difference.square().mean().sqrt()),
        float(difference.abs().max()),
        (missed / total) ** 0.5,
        cosines[worst],
        worst,
    )
