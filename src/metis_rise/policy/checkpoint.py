"""Checkpoints to resume training from: DIR/checkpoint-N with weights, optimizer, random state and a caller's state."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from metis_rise.errors import InputError
from metis_rise.json_text import parse_json
from metis_rise.policy.folders import whole_folder
from metis_rise.policy.lora import adapter_values, read_adapters, write_adapters
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.policy.parallel.policy import SharedPolicy, shared_folder
from metis_rise.policy.parallel.sharding import put
from metis_rise.policy.parallel.state import ADAPTERS, MODEL, PARTS, load_parts, save_parts

MARKER = "COMPLETE"
OPTIMIZER = "optimizer.safetensors"
_NAME = re.compile(r"checkpoint-(\d+)")


def save_training(folder: Path, policy: Policy, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Write everything needed to go on exactly from here; the folder appears whole or not at all.

    `state` is the caller's own, plain JSON. FOLDER/model is a complete Hugging Face folder; adapters are merged into
    its weights and lie beside it as they are. Processes that share the policy all call this (the first one's `state`
    is kept), and any number of them can go on from it.
    """
    tensors, counters = optimizer.state_dict()
    record = {"state": state, "optimizer": counters, "version": policy.version, "rng": _random_state(policy)}
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
    """Put `policy`, `optimizer` and torch's random state back to where they were saved; returns the caller's state.

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
        torch.set_rng_state(_from_hex(record["rng"]["cpu"]))
        if record["rng"]["cuda"] and len(record["rng"]["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([_from_hex(s) for s in record["rng"]["cuda"]])
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


def newest(folder: Path) -> Path | None:
    """The whole checkpoint of the highest step in `folder`, None when there is none."""
    return max(_whole(folder).items(), default=(0, None))[1]


def prune(folder: Path, keep: int, protect: Collection[Path] = ()) -> None:
    """Delete all whole checkpoints in `folder` but the `keep` newest and those in `protect`."""
    ordered = [path for _, path in sorted(_whole(folder).items(), reverse=True)]
    guarded = {path.resolve() for path in protect}
    for path in ordered[keep:]:
        if path.resolve() not in guarded:
            # The marker goes first, so that a half-deleted checkpoint is not taken for a whole one.
            (path / MARKER).unlink()
    for path in folder.glob("checkpoint-*"):
        if not (path / MARKER).is_file():
            shutil.rmtree(path)


def _whole(folder: Path) -> dict[int, Path]:
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*"))
    return {int(match[1]): path for match, path in found if match and (path / MARKER).is_file()}


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
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        mend = "delete this folder, and the run goes on from the checkpoint before it"
        raise InputError(f"{folder}: the checkpoint is damaged ({why}); {mend}") from error


def _random_state(policy: Policy) -> dict[str, Any]:
    # Of several processes each has a GPU, and none may touch the others'.
    cuda = [] if isinstance(policy, SharedPolicy) else torch.cuda.get_rng_state_all()
    return {"cpu": _to_hex(torch.get_rng_state()), "cuda": [_to_hex(each) for each in cuda]}


def _write_record(target: Path, record: dict[str, Any]) -> None:
    (target / "state.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    (target / MARKER).touch()


def _to_hex(state: torch.Tensor) -> str:
    return bytes(state.numpy()).hex()


def _from_hex(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
