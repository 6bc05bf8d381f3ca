"""The dimensions of a model, from its config alone: no weights, no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from metis_rise.errors import InputError

QWEN3 = "qwen3_vl"
_FAMILIES = ("qwen2_5_vl", QWEN3)
_TINY = "tiny"
# No dimension of a model is larger.
_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class TextFacts:
    """The language model.

    hidden, layers, heads, kv_heads, head_dim, intermediate, vocabulary: as in config.json.
    tied: the output head is the embedding.
    biased: queries, keys and values have biases (Qwen2.5); else norms of queries and keys (Qwen3).
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    biased: bool

    @property
    def wide(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def narrow(self) -> int:
        """Width of all key heads; values have as much."""
        return self.kv_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class VisionFacts:
    """The vision tower.

    depth, hidden, intermediate: of its blocks.
    out: width of the language model that its merger writes for.
    patch_values: numbers in a patch.
    merge: patches that become one image token.
    patch: side of a patch in pixels.
    whole: blocks whose attention sees the whole picture; the others see windows of `window` patches.
    gated: feed-forwards have a gate (Qwen2.5); else two layers with biases, as its norms have (Qwen3).
    positions: learnt positions.
    levels: deepstack levels, each with a merger of its own.
    """

    depth: int
    hidden: int
    intermediate: int
    out: int
    patch_values: int
    merge: int
    patch: int
    whole: int
    window: int
    gated: bool
    positions: int
    levels: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model's dimensions, and which config they were read from."""

    source: str
    text: TextFacts
    vision: VisionFacts


def find_facts(model: str) -> ModelFacts:
    """The facts of a recipe's `model.path`: `tiny`, a folder, a hub id whose config is here or shipped with us.

    Raises:
        InputError: no config of it is here, or it is none of a family that we train.
    """
    source, text = _config(model)
    try:
        config = json.loads(text)
    except ValueError as error:
        raise InputError(f"{source}: is not valid JSON ({error})") from error
    if not isinstance(config, dict) or config.get("model_type") not in _FAMILIES:
        raise InputError(f"{source}: model_type must be one of {', '.join(_FAMILIES)}; the plan knows no other family")
    return facts_of(config, source)


def facts_of(config: Mapping[str, Any], source: str) -> ModelFacts:
    """The facts in a config of one of our families, which was read from `source`.

    Raises:
        InputError: a dimension is missing or is none.
    """
    try:
        return ModelFacts(source, _text(config), _vision(config))
    except (KeyError, TypeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{source}: lacks a dimension that the plan needs ({why})") from error


def folder_of(model: str) -> Path | None:
    """The folder of a recipe's `model.path` where it is on this machine: `tiny` or a folder."""
    if model == _TINY:
        return Path(str(resources.files("metis_rise") / "assets" / "tiny_base"))
    return Path(model) if Path(model).is_dir() else None


def shipped() -> list[str]:
    """Names of the configs inside this package."""
    return sorted(entry.name.removesuffix(".json") for entry in _shipped().iterdir() if entry.name.endswith(".json"))


def _config(model: str) -> tuple[str, str]:
    """Where the config of `model` is, and what it says."""
    if (folder := folder_of(model)) is not None:
        path = folder / "config.json"
        try:
            return str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no UTF-8"
            raise InputError(f"{path}: cannot be read ({why}); give a folder in Hugging Face layout") from None
    name = model.rpartition("/")[2].removesuffix("-Instruct")
    if name in shipped():
        return f"the config of {name} that is shipped with us", (_shipped() / f"{name}.json").read_text(
            encoding="utf-8"
        )
    if (found := _cached(model)) is not None:
        return str(found), found.read_text(encoding="utf-8")
    raise InputError(
        f"model.path = {model!r}: its config is not here; give a folder with a config.json, or one of "
        f"{', '.join(shipped())}"
    )


def _cached(model: str) -> Path | None:
    """The config of a hub id in the hub's cache."""
    try:
        found = try_to_load_from_cache(model, "config.json")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _shipped() -> Any:
    return resources.files("metis_rise") / "assets" / "configs"


def _text(config: Mapping[str, Any]) -> TextFacts:
    text = config["text_config"]
    hidden, heads = _size(text, "hidden_size"), _size(text, "num_attention_heads")
    return TextFacts(
        hidden=hidden,
        layers=_size(text, "num_hidden_layers"),
        heads=heads,
        kv_heads=_size(text, "num_key_value_heads"),
        head_dim=_size(text, "head_dim") if text.get("head_dim") else hidden // heads,
        intermediate=_size(text, "intermediate_size"),
        vocabulary=_size(text, "vocab_size"),
        tied=bool(config.get("tie_word_embeddings", False)),
        biased=config["model_type"] != QWEN3,
    )


def _vision(config: Mapping[str, Any]) -> VisionFacts:
    vision, newer = config["vision_config"], config["model_type"] == QWEN3
    side, depth = _size(vision, "patch_size"), _size(vision, "depth")
    return VisionFacts(
        depth=depth,
        hidden=_size(vision, "hidden_size"),
        intermediate=_size(vision, "intermediate_size"),
        out=_size(vision, "out_hidden_size"),
        patch_values=_size(vision, "in_channels") * _size(vision, "temporal_patch_size") * side**2,
        merge=_size(vision, "spatial_merge_size") ** 2,
        patch=side,
        whole=depth if newer else len(vision["fullatt_block_indexes"]),
        window=0 if newer else (_size(vision, "window_size") // side) ** 2,
        gated=not newer,
        positions=_size(vision, "num_position_embeddings") if newer else 0,
        levels=len(vision["deepstack_visual_indexes"]) if newer else 0,
    )


def _size(config: Mapping[str, Any], key: str) -> int:
    """A dimension; ValueError where it is no positive number."""
    value = config[key]
    if type(value) is not int or not 0 < value <= _MOST:
        raise ValueError(f"{key} = {value!r}: must be a whole number from 1 to {_MOST}")
    return value
