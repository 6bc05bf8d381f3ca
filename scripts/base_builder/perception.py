"""First phase: the vision tower learns to see, through throw-away heads that label every cell of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from tqdm import trange
from transformers import Qwen2_5_VLForConditionalGeneration

from base_builder.architecture import BASE
from base_builder.optimizer import MuonAdam
from base_builder.pictures import features, patches
from metis_rise.problems import world
from metis_rise.problems.world.canvas import COLOURS, GRID

_CELLS = GRID * GRID
_CLASSES = {
    "colour": 7,
    "height": 10,
    "price": 10,
    "hand": 12,
    "dot": 2,
    "tens": 11,
    "units": 11,
    "row": 4,
    "column": 4,
}
_SPARSE = ("tens", "units", "dot")
_COLOUR_NAMES = list(COLOURS)
_LABEL_CELLS = {"top": GRID + 1, "left": 3 * GRID, "right": 3 * GRID + 3}


def cell_labels(family: str, state: Mapping[str, Any]) -> dict[str, list[int]]:
    """What each of the 16 cells (row by row) shows, by head."""
    labels = {"row": [c // GRID for c in range(_CELLS)], "column": [c % GRID for c in range(_CELLS)]}
    if family in ("bars", "shop"):
        shown = state["heights"] if family == "bars" else state["prices"]
        head = "height" if family == "bars" else "price"
        labels["colour"] = [_COLOUR_NAMES.index(list(shown)[c % GRID]) + 1 for c in range(_CELLS)]
        labels[head] = [list(shown.values())[c % GRID] for c in range(_CELLS)]
    elif family == "dial":
        labels["hand"] = [state["hand"]] * _CELLS
    elif family == "path":
        place = (state["row"] - 1) * GRID + state["column"] - 1
        labels["dot"] = [int(c == place) for c in range(_CELLS)]
    elif family == "angle":
        labels["tens"], labels["units"] = [0] * _CELLS, [0] * _CELLS
        for corner, value in state["angles"].items():
            if value != "?":
                labels["tens"][_LABEL_CELLS[corner]] = value // 10 + 1
                labels["units"][_LABEL_CELLS[corner]] = value % 10 + 1
    return labels


def teach_perception(model: Qwen2_5_VLForConditionalGeneration, steps: int, batch: int, seed: int) -> dict[str, float]:
    """Trains the vision tower for `steps` batches; returns each head's accuracy over the last batches."""
    torch.manual_seed(seed)
    heads = nn.ModuleDict({name: nn.Linear(BASE.hidden, classes) for name, classes in _CLASSES.items()})
    named = [*model.model.visual.named_parameters(), *((f"head.{n}", p) for n, p in heads.named_parameters())]
    optimizer, rng = MuonAdam(named), Random(f"perception/{seed}")
    families = [f for f in world.FAMILIES if f != "story"] + ["dial", "angle"]
    accuracy: dict[str, float] = {}
    for step in (bar := trange(steps, desc="perception", mininterval=5)):
        drawn = [
            (f, next(world.drafts(f, rng.choice(world.LEVELS), "base", rng))) for f in rng.choices(families, k=batch)
        ]
        seen = features(model, patches([world.picture(f, d, rng) for f, d in drawn]))
        labels = [cell_labels(f, d.state) for f, d in drawn]
        loss = sum(_head_loss(name, head, seen, labels, accuracy) for name, head in heads.items())
        loss.backward()
        optimizer.step(2e-3 * min(1, (step + 1) / 50) * min(1.0, 0.05 + 1.9 * (1 - step / steps)))
        if step % 25 == 0:
            bar.set_postfix({"loss": f"{loss.item():.3f}", "worst head": f"{min(accuracy.values()):.3f}"})
    return accuracy


def _head_loss(
    name: str, head: nn.Module, seen: torch.Tensor, labels: list[dict[str, list[int]]], accuracy: dict[str, float]
) -> torch.Tensor:
    rows = [i for i, label in enumerate(labels) if name in label]
    if not rows:
        return torch.zeros(())
    target = torch.tensor([labels[i][name] for i in rows]).flatten()
    logits = head(seen[rows]).flatten(0, 1)
    weight = torch.ones(logits.shape[1])
    if name in _SPARSE:
        weight[0] = 0.1
    counted = target > 0 if name in _SPARSE else torch.ones_like(target, dtype=torch.bool)
    right = (logits.argmax(-1) == target)[counted].float().mean().item()
    accuracy[name] = 0.95 * accuracy.get(name, right) + 0.05 * right
    return functional.cross_entropy(logits, target, weight=weight)
