"""Low-rank adapters of the language model: its weights stay, what is trained is added beside them (LoRA, by peft).

Adapters are put into the linear layers in place, so the model stays the class that it was. They are float32 whatever
the type of the weights, start from values that depend on nothing but their names, and start as no change at all.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from metis_rise.errors import InputError
from metis_rise.recipe.model import LoraConfig
from metis_rise.seeding import derive

T = TypeVar("T")
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
        target_modules=targets(config),
        lora_dropout=0.0,
        init_lora_weights=False,
    )
    meta = next(model.parameters()).is_meta
    # peft draws numbers for its new layers, on the CPU; `starts` replaces them.
    with torch.random.fork_rng(devices=[]):
        peft.inject_adapter_in_model(settings, model.model.language_model, ADAPTER, low_cpu_mem_usage=meta)
    for parameter, draw in starts(model):
        parameter.data = torch.empty(parameter.shape, device="meta") if meta else draw().to(parameter.device)


def targets(config: LoraConfig) -> str:
    """A regular expression for the names of the layers, within the language model, that get adapters."""
    return rf"layers\.\d+\.\w+\.({'|'.join(config.targets)})"


def starts(model: Any) -> Iterator[tuple[nn.Parameter, Callable[[], Tensor]]]:
    """Each adapter's parameters and what draws their first values: A as nn.Linear's weight, B zero; both float32."""
    for name, layer in layers(model):
        down, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        yield down, partial(_drawn, name, down.shape)
        yield up, partial(torch.zeros, up.shape)


def _drawn(name: str, shape: torch.Size) -> Tensor:
    generator = torch.Generator().manual_seed(derive("lora", name))
    return nn.init.kaiming_uniform_(torch.empty(shape), a=math.sqrt(5), generator=generator)


def layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and modules of the layers that have adapters."""
    kind = find_peft().tuners.lora.LoraLayer
    return ((name, module) for name, module in model.named_modules() if isinstance(module, kind))


@contextlib.contextmanager
def adapters_off(model: Any) -> Iterator[None]:
    """Within the block the model computes what its frozen weights alone say."""
    adapted = [layer for _, layer in layers(model)]
    for layer in adapted:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in adapted:
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
        for name, layer in layers(model)
    }
    return dict(plain(state.items())) | merged


def delta(layer: Any, whole: Callable[[Tensor], Tensor]) -> Tensor:
    """What the adapters of `layer` add to its weight, their values being `whole` of what the layer holds of them."""
    down, up = whole(layer.lora_A[ADAPTER].weight), whole(layer.lora_B[ADAPTER].weight)
    added: Tensor = layer.scaling[ADAPTER] * (up @ down)
    return added


def plain(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """What is not of an adapter, by the names in a model without adapters."""
    return ((name.replace(_INNER, "."), value) for name, value in named if not of_adapter(name))


def of_adapter(name: str) -> bool:
    """Whether a parameter of that name belongs to an adapter."""
    return ".lora_" in name


def adapter_values(model: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and values of what the adapters of `model` consist of."""
    return ((name, value) for name, value in model.named_parameters() if of_adapter(name))


def write_adapters(values: Iterable[tuple[str, Tensor]], config: LoraConfig, path: Path) -> None:
    """Save the adapters' exact `values` by name, and what they were made by."""
    tensors = {name: value.detach().contiguous() for name, value in values}
    save_file(tensors, path, {"lora": config.model_dump_json()})


def read_adapters(model: Any, config: LoraConfig, path: Path) -> dict[str, Tensor]:
    """Saved values of the adapters of `model`; InputError when there are none or they were made by other settings."""
    try:
        with safe_open(path, framework="pt") as file:
            made_by = (file.metadata() or {}).get("lora")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: the adapters cannot be read ({str(error).splitlines()[0]})") from error
    if made_by != config.model_dump_json():
        raise InputError(f"{path}: made with model.lora = {made_by}, the recipe says {config.model_dump_json()}")
    named = {name for name, _ in adapter_values(model)}
    if named != tensors.keys():
        raise InputError(f"{path}: holds {len(tensors)} adapter tensors, the model has {len(named)} of other names")
    return tensors
