"""The model families that the policy knows, by the `model_type` of their config.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import Qwen2_5_VLForConditionalGeneration, Qwen3VLForConditionalGeneration
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from metis_rise.errors import InputError


@dataclass(frozen=True, slots=True)
class Family:
    """The transformers classes of one model family."""

    model: Any
    processor: Any


FAMILIES = {
    "qwen2_5_vl": Family(Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor),
    "qwen3_vl": Family(Qwen3VLForConditionalGeneration, Qwen3VLProcessor),
}


def family_of(folder: Path) -> Family:
    """The family of the model in `folder`; InputError when the folder holds none that is known."""
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type not in FAMILIES:
        raise InputError(f"{folder / 'config.json'}: model_type {model_type!r} is not one of {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; InputError when it is missing or no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a folder in Hugging Face layout") from error
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: is not a JSON object")
    return value
