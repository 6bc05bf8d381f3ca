"""Adapters in peft's own folder format, for users and servers that put them onto the base model themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from metis_rise.policy.loading import TINY
from metis_rise.policy.lora import ADAPTER, targets
from metis_rise.recipe.model import LoraConfig

# Within a model's folder: transformers would put adapters that lie beside merged weights onto them once more.
ADAPTER_FOLDER = "adapter"
_LANGUAGE_MODEL = r"model\.language_model\."
_PREFIX = "base_model.model."


def base_name(spec: str, folder: Path) -> str:
    """How adapters name the base that they belong to: a hub id, or the full path of a folder.

    Args:
        spec: what the base was loaded by.
        folder: where it was found.
    """
    return str(folder.resolve()) if spec == TINY or Path(spec).is_dir() else spec


def write_adapter_folder(target: Path, values: Iterable[tuple[str, Tensor]], config: LoraConfig, base: str) -> None:
    """Write TARGET/adapter, which peft.PeftModel.from_pretrained puts onto the model `base`.

    Args:
        target: the model's folder.
        values: the adapters by their names in the model; they keep their type.
        config: how they were made.
        base: what `base_name` says of the model whose weights they were added to.
    """
    folder = target / ADAPTER_FOLDER
    folder.mkdir(exist_ok=True)
    # Only what says something: versions of peft differ in what else they know.
    settings = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": _LANGUAGE_MODEL + targets(config),
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    tensors = {_PREFIX + name.replace(f".{ADAPTER}.", "."): value.detach().contiguous() for name, value in values}
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
