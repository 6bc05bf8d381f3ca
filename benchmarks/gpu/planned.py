"""What `rise plan` says of the steps of `gpu_rl_step.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gpu.steps import SAMPLING, SFT, UPDATE
from gpu.subject import Sizes, work_of
from metis_rise.cluster.facts import find_facts
from metis_rise.cluster.measuring import measure
from metis_rise.cluster.plan import Asked, Plan, plan_work
from metis_rise.cluster.simulator import sample_seconds
from metis_rise.recipe import Recipe

# Of a device's name as CUDA gives it. A part of a GPU (MIG) has no data sheet, nor have H100 PCIe and NVL.
_SHEETS: Mapping[str, str] = {
    r"A100.*40GB$": "a100-40gb",
    r"A100.*80GB( PCIe)?$": "a100-80gb",
    r"H100 80GB HBM3$": "h100-80gb",
    r"H200$": "h200-141gb",
    r"B200$": "b200-180gb",
    r"L40S$": "l40s-48gb",
    r"RTX 4090$": "rtx4090-24gb",
}


def sheet_of(device: str) -> str | None:
    """The kind of GPU that `rise plan` knows it as; None where it does not."""
    return next((name for pattern, name in _SHEETS.items() if re.search(pattern, device)), None)


def plan_of(sizes: Sizes, recipe: Recipe) -> Plan:
    """The plan: by the data sheet of a GPU, or of this CPU, which is measured for a few seconds."""
    return plan_work(recipe, find_facts(sizes.model), work_of(sizes), Asked(), measure)


def seconds_of(plan: Plan, sizes: Sizes) -> dict[str, float]:
    """Seconds of each part; prompts are known before."""
    loop = replace(plan.loop(), problem=0.0)
    lengths = np.full((sizes.groups, sizes.group_size), float(sizes.completion_tokens))
    return {
        SAMPLING: sample_seconds(loop, lengths)[0],
        UPDATE: plan.update().seconds(lengths.sum(1), sizes.group_size),
        SFT: plan.tuning().seconds([float(sizes.completion_tokens)] * sizes.examples, 1),
    }


def tokens_of(sizes: Sizes) -> dict[str, int]:
    """Tokens of each part: of sampling the new ones, else each prompt once and each completion."""
    new = sizes.groups * sizes.group_size * sizes.completion_tokens
    return {
        SAMPLING: new,
        UPDATE: new + sizes.groups * sizes.prompt_tokens,
        SFT: sizes.examples * (sizes.prompt_tokens + sizes.completion_tokens),
    }


def memory_of(plan: Plan) -> dict[str, Any]:
    """MB: `tensors` is what torch should hold at most, `total` what the GPU needs for it."""
    memory = plan.training_memory()
    found = memory.to_json()
    return {**found, "tensors_mb": round(sum(memory.parts.values()) / 2**20, 1)}
