"""Small random models for the benchmark's tests whose layers say something."""

from __future__ import annotations

import torch

from metis_rise.bench.workbench import Workbench


def heavier(made: Workbench, factor: float) -> Workbench:
    """The same models with the weights of their attention and feed-forward layers times `factor`."""
    with torch.no_grad():
        for model in (made.policy.model, made.plain):
            for name, value in model.named_parameters():
                if "proj" in name or "qkv" in name:
                    value *= factor
    return made
