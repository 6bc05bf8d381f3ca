"""The model families that the policy knows, by the `model_type` of their config.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen3VLForConditionalGeneration
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from metis_rise.errors import InputError
from metis_rise.json_text import parse_json


@dataclass(frozen=True, slots=True)
class Family:
    """The transformers classes of one model family."""

    model: Any
    processor: Any


FAMILIES = {
    "qwen2_5_vl": Family(Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor),
    "qwen3_vl": Family(Qwen3VLForConditionalGeneration, Qwen3VLProcessor),
}


# What the policy asks of a model that it trains; said to whoever brings another one.
REQUIREMENTS = (
    "another family needs its transformers classes in metis_rise/policy/families.py, an inner model with "
    "get_rope_index, get_image_features and the forward keyword mm_encoder_outputs, and attention layers that pass "
    "the keyword rise_layout on to transformers' attention interface"
)


def family_of(folder: Path) -> Family:
    """The family of the model in `folder`; InputError when the folder holds none that is known."""
    path = folder / "config.json"
    model_type = read_json(path).get("model_type")
    if model_type not in FAMILIES:
        raise InputError(f"{path}: model_type {model_type!r} is not one of {', '.join(FAMILIES)}; {REQUIREMENTS}")
    return FAMILIES[model_type]


def check_config(folder: Path) -> None:
    """Refuse settings that a known family may have and the policy would get wrong.

    Raises InputError for sliding-window layers (completions would see all of their prompt), for positions that depend
    on the longest text of a pass (a neighbour in the row would change a completion's log-probabilities) and for dropout
    in the attention (the ratio of new to old probabilities would not start at 1).
    """
    path = folder / "config.json"
    try:
        config = family_of(folder).model.config_class.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError, StrictDataclassError) as error:
        raise InputError(f"{path}: transformers cannot read it ({' '.join(str(error).split())})") from error
    text = config.text_config
    if sliding := [i for i, kind in enumerate(getattr(text, "layer_types", None) or ()) if "sliding" in kind]:
        raise InputError(
            f"{path}: {len(sliding)} layers (the first is {sliding[0]}) attend in a sliding window of "
            f"{text.sliding_window} tokens (use_sliding_window), which is not supported; attention must be full"
        )
    kind = (getattr(text, "rope_parameters", None) or {}).get("rope_type", "default")
    if kind in ("dynamic", "longrope"):
        raise InputError(
            f"{path}: rope_type {kind!r} is not supported: positions would depend on the longest text of a pass; "
            "take 'default' or 'yarn'"
        )
    if dropout := getattr(text, "attention_dropout", 0.0):
        raise InputError(
            f"{path}: attention_dropout = {dropout} is not supported: the same weights would score a completion "
            "differently each time; set it to 0"
        )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; InputError when it is missing or no JSON object."""
    try:
        value = parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a folder in Hugging Face layout") from error
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: is not a JSON object")
    return value
