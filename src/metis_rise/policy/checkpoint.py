"""Checkpoints to resume training from: DIR/checkpoint-N with weights, optimizer, random state and a caller's state."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from metis_rise.errors import InputError
from metis_rise.json_text import parse_json
from metis_rise.policy.checkpoint_folders import seal
from metis_rise.policy.folders import whole_folder
from metis_rise.policy.lora import adapter_values, read_adapters, write_adapters
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.policy.parallel.policy import SharedPolicy, shared_folder
from metis_rise.policy.parallel.sharding import put
from metis_rise.policy.parallel.state import ADAPTERS, MODEL, PARTS, load_parts, save_parts
from metis_rise.policy.random_state import random_state, set_random_state

OPTIMIZER = "optimizer.safetensors"
# What reading files raises that hold something else than was written.
_DAMAGE = (OSError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError, SafetensorError)


def save_training(folder: Path, policy: Policy, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Write everything needed to go on exactly from here; the folder appears whole or not at all.

    `state` is the caller's own, plain JSON. FOLDER/model is a complete Hugging Face folder; adapters are merged into
    its weights and lie beside it as they are. Processes that share the policy all call this (the first one's `state`
    is kept), and any number of them can go on from it.
    """
    tensors, counters = optimizer.state_dict()
    # Of several processes each has a GPU, and none may touch the others'.
    alone = not isinstance(policy, SharedPolicy)
    record = {"state": state, "optimizer": counters, "version": policy.version, "rng": random_state(cuda=alone)}
    if isinstance(policy, SharedPolicy):
        with shared_folder(folder, policy.parallel) as target:
            save_parts(target, policy, tensors)
            if policy.parallel.leads:
                _write_record(target, record)
        return
    with whole_folder(folder) as target:
        (target / MODEL).mkdir()
        policy.write(target / MODEL)
        if policy.lora is not None:
            write_adapters(adapter_values(policy.model), policy.lora, target / ADAPTERS)
        save_file({name: value.contiguous() for name, value in tensors.items()}, target / OPTIMIZER)
        _write_record(target, record)


def load_training(folder: Path, policy: Policy, optimizer: Optimizer) -> dict[str, Any]:
    """Put `policy`, `optimizer` and the random generators back to where they were saved; returns the caller's state.

    Raises InputError where the checkpoint is damaged; `policy` and `optimizer` may then be half of it.
    """
    record = _read_record(folder)
    with _as_saved(folder):
        load_weights(folder, policy)
        policy.version = record["version"]
        if not ((folder / OPTIMIZER).is_file() or (folder / PARTS).is_dir()):
            raise FileNotFoundError(f"neither {OPTIMIZER} nor {PARTS}/ is there")
        if isinstance(policy, SharedPolicy) or not (folder / OPTIMIZER).is_file():
            tensors = load_parts(folder, optimizer.parameters())
        else:
            tensors = load_file(folder / OPTIMIZER)
        optimizer.load_state_dict(tensors, record["optimizer"])
        set_random_state(record["rng"])
        state: dict[str, Any] = record["state"]
    return state


def load_weights(folder: Path, policy: Policy) -> None:
    """Put the weights of `policy` back to those of the checkpoint `folder`, exactly.

    With adapters it must have been loaded from the model that the checkpoint's policy was loaded from: only adapters
    are read, as merged weights cannot be taken apart again.

    Raises InputError when the one has adapters and the other has none, or others.
    """
    if policy.lora is not None:
        values = read_adapters(policy.model, policy.lora, folder / ADAPTERS)
        parameters = dict(policy.model.named_parameters())
        for name, value in values.items():
            put(parameters[name], value)
    elif (folder / ADAPTERS).is_file():
        raise InputError(f"{folder}: made with model.lora, which the recipe no longer has")
    else:
        policy.load_weights(folder / MODEL)


def saved_version(folder: Path) -> int:
    """How often the weights of the checkpoint `folder` had been updated: `Policy.version` when it was saved."""
    with _as_saved(folder):
        version: int = _read_record(folder)["version"]
    return version


def _read_record(folder: Path) -> dict[str, Any]:
    with _as_saved(folder):
        record: dict[str, Any] = parse_json((folder / "state.json").read_bytes())
        if not isinstance(record, dict):
            raise TypeError("state.json is no JSON object")
    return record


@contextlib.contextmanager
def _as_saved(folder: Path) -> Iterator[None]:
    """Says that a checkpoint is damaged where its files are not what was saved."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _DAMAGE as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        mend = "delete this folder, and the run goes on from the checkpoint before it"
        raise InputError(f"{folder}: the checkpoint is damaged ({why}); {mend}") from error


def _write_record(target: Path, record: dict[str, Any]) -> None:
    (target / "state.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    seal(target)
