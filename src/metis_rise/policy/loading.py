"""Finding and reading a model in Hugging Face layout, every fault told in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers.utils import logging

from metis_rise.errors import InputError
from metis_rise.policy.families import family_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TINY = "tiny"


def find_folder(spec: str) -> Path:
    """The folder that `spec` names: "tiny", a path, or a hub id (fetched, or taken from the hub's local cache)."""
    if spec == TINY:
        return Path(str(resources.files("metis_rise") / "assets" / "tiny_base"))
    if Path(spec).is_dir():
        return Path(spec)
    if spec.count("/") != 1 or spec.startswith((".", "/", "~")):
        raise InputError(f"{spec}: no such folder; give a model folder, a hub id (owner/name) or {TINY!r}")
    try:
        return Path(snapshot_download(spec, allow_patterns=["*.json", "*.jinja", "*.txt", "*.safetensors"]))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(
            f"{spec}: neither a folder nor a hub model within reach; download it on a machine with a network and "
            f"give its folder, or unset HF_HUB_OFFLINE ({type(error).__name__})"
        ) from error


def load_model(folder: Path, dtype: torch.dtype) -> Any:
    """The model in `folder` with parameters of `dtype`, on the CPU; InputError for missing or broken weights."""
    family = family_of(folder)
    try:
        with no_bars():
            model, report = family.model.from_pretrained(
                str(folder), dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: the weights cannot be loaded ({str(error).splitlines()[0]})") from error
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"{folder}: the weights lack {len(missing)} tensor(s), the first is {missing[0]}")
    return model


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """Keep transformers' own progress bars off the terminal: showing progress is the caller's business."""
    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def pick_dtype(name: str) -> torch.dtype:
    """The torch type called `name`."""
    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")
    return DTYPES[name]


def pick_device(name: str) -> torch.device:
    """The torch device called `name`; "auto" is CUDA where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is none that torch knows") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {name!r}: torch finds no CUDA device here")
    return device


def refuse_contradictions(dtype: torch.dtype, autocast: bool, lora: bool, freeze_vision: bool) -> None:
    """InputError for settings of a policy that exclude each other."""
    if autocast and dtype != torch.float32:
        raise InputError(f"autocast computes in bfloat16 itself and needs float32 parameters, not {dtype}")
    if lora and not freeze_vision:
        raise InputError("lora trains adapters of the language model alone: freeze_vision must be true")
