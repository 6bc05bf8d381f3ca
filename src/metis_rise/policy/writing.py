"""Writing a model and what belongs to it into a folder, in Hugging Face layout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.core_model_loading import revert_weight_conversion

from metis_rise.policy.families import read_json
from metis_rise.policy.loading import no_bars


def write_model(target: Path, model: Any, state: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Write config.json, generation_config.json and the tensors of `state` as `dtype`.

    `model` says the rest: it may hold other tensors than `state`, which are those of its class.
    """
    with no_bars():
        model.save_pretrained(target, state_dict=_cast(state, dtype))
    _note_dtype(target, dtype)


def write_configs(target: Path, model: Any, dtype: torch.dtype) -> None:
    """What `write_model` writes beside the tensors."""
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(target)
    model.generation_config.save_pretrained(target)
    _note_dtype(target, dtype)


def saved_names(model: Any, names: Iterable[str]) -> dict[str, str]:
    """For parameters of `model` by `names` those that transformers gives their tensors in files."""
    marks = {name: torch.empty(0) for name in names}
    found = {id(mark): name for name, mark in revert_weight_conversion(model, dict(marks)).items()}
    return {name: found[id(mark)] for name, mark in marks.items()}


def write_processor(target: Path, processor: Any, files: Mapping[str, Any]) -> None:
    """Write the tokenizer, the chat template and the JSON `files`."""
    processor.tokenizer.save_pretrained(target)
    (target / "chat_template.jinja").write_text(processor.chat_template, encoding="utf-8")
    for name, content in files.items():
        _write_json(target / name, content)


def _note_dtype(target: Path, dtype: torch.dtype) -> None:
    config = read_json(target / "config.json")
    config["dtype"] = str(dtype).removeprefix("torch.")
    _write_json(target / "config.json", config)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _cast(state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The state in `dtype`; tensors that share their storage (transformers tells tied weights by it) still do."""
    by_storage: dict[int, Tensor] = {}
    for value in state.values():
        by_storage.setdefault(value.data_ptr(), value.to(dtype))
    return {name: by_storage[value.data_ptr()] for name, value in state.items()}
