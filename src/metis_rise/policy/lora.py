"""Low-rank adapters of the language model: its weights stay, what is trained is added beside them (LoRA, by peft).

Adapters are put into the linear layers in place, so the model stays the class that it was. They are float32 whatever
the type of the weights, start from values that depend on nothing but their names, and start as no change at all.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from metis_rise.errors import InputError
from metis_rise.recipe.model import LoraConfig
from metis_rise.seeding import derive

# peft's name of the only set of adapters.
ADAPTER = "default"
_INNER = ".base_layer."


def find_peft() -> Any:
    """The package peft; InputError when it is not installed."""
    try:
        import peft
    except ImportError as error:
        raise InputError("model.lora needs peft: pip install 'metis-rise[lora]'") from error
    return peft


def add_adapters(model: Any, config: LoraConfig) -> None:
    """Freeze all of `model` and put trainable adapters into its language model."""
    peft = find_peft()
    model.requires_grad_(False)
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        # By full name: vision towers have layers that are called the same.
        target_modules=rf"layers\.\d+\.\w+\.({'|'.join(config.targets)})",
        lora_dropout=0.0,
        init_lora_weights=False,
    )
    # peft draws numbers for its new layers, on the CPU; `_start` replaces them.
    with torch.random.fork_rng(devices=[]):
        peft.inject_adapter_in_model(settings, model.model.language_model, ADAPTER)
    for name, layer in _layers(model):
        _start(name, layer)


def _start(name: str, layer: Any) -> None:
    """A as nn.Linear draws its weight, B zero; both float32."""
    down, up = layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]
    generator = torch.Generator().manual_seed(derive("lora", name))
    drawn = nn.init.kaiming_uniform_(torch.empty(down.weight.shape), a=math.sqrt(5), generator=generator)
    down.weight.data = drawn.to(down.weight.device)
    up.weight.data = torch.zeros(up.weight.shape, device=up.weight.device)


def _layers(model: Any) -> Iterator[tuple[str, Any]]:
    kind = find_peft().tuners.lora.LoraLayer
    return ((name, module) for name, module in model.named_modules() if isinstance(module, kind))


@contextlib.contextmanager
def adapters_off(model: Any) -> Iterator[None]:
    """Within the block the model computes what its frozen weights alone say."""
    layers = [layer for _, layer in _layers(model)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


@torch.no_grad()
def merged_state(model: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """The state dict of the model without adapters whose weights say the same, in `dtype`; `model` is not changed.

    Weights are added up in float32 and rounded once. Weights without adapters are the model's own tensors where they
    are of `dtype` already.
    """
    state: dict[str, Tensor] = model.state_dict()
    merged = {
        f"{name}.weight": (layer.base_layer.weight.float() + layer.get_delta_weight(ADAPTER)).to("cpu", dtype)
        for name, layer in _layers(model)
    }
    kept = {name.replace(_INNER, "."): value for name, value in state.items() if not _of_adapter(name)}
    return kept | merged


def _of_adapter(name: str) -> bool:
    return ".lora_" in name


def write_adapters(model: Any, config: LoraConfig, path: Path) -> None:
    """Save the adapters' exact values, and what they were made by."""
    tensors = {name: value.contiguous() for name, value in model.state_dict().items() if _of_adapter(name)}
    save_file(tensors, path, {"lora": config.model_dump_json()})


def read_adapters(model: Any, config: LoraConfig, path: Path) -> None:
    """Put saved adapters back; InputError when there are none or they were made by other settings."""
    try:
        with safe_open(path, framework="pt") as file:
            made_by = (file.metadata() or {}).get("lora")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: the adapters cannot be read ({str(error).splitlines()[0]})") from error
    if made_by != config.model_dump_json():
        raise InputError(f"{path}: made with model.lora = {made_by}, the recipe says {config.model_dump_json()}")
    named = {name for name in model.state_dict() if _of_adapter(name)}
    if named != tensors.keys():
        raise InputError(f"{path}: holds {len(tensors)} adapter tensors, the model has {len(named)} of other names")
    model.load_state_dict(tensors, strict=False)
