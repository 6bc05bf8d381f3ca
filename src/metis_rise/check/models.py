"""Whether the folders of models and checkpoints are whole, by headers and sizes alone: no weight is read."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metis_rise.check.files import Files
from metis_rise.check.findings import Findings
from metis_rise.journal import parse_object
from metis_rise.policy.checkpoint_folders import MARKER, damaged

_INDEX = "model.safetensors.index.json"
_MOST_HEADER = 100_000_000
"""Bytes; safetensors itself refuses a longer one."""
_PART = re.compile(r"shard-(\d+)-")


def header(path: Path) -> dict[str, Any]:
    """The tensors that a safetensors file holds: name -> {"dtype", "shape", "data_offsets"}.

    Raises:
        ValueError: the header is damaged, or the file is not as long as it says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= min(size - 8, _MOST_HEADER):
            raise ValueError("no safetensors header")
        found = parse_object(file.read(length))
    if found is None:
        raise ValueError("the safetensors header is not JSON")
    found.pop("__metadata__", None)
    try:
        places = sorted((int(entry["data_offsets"][0]), int(entry["data_offsets"][1])) for entry in found.values())
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError("the safetensors header has a tensor without a place") from error
    end = 0
    for first, last in places:
        if first != end or last < first:
            raise ValueError("the safetensors header has tensors that overlap or leave gaps")
        end = last
    if 8 + length + end != size:
        raise ValueError(f"{size} bytes long, and {8 + length + end} by its header")
    return found


class Models:
    """Checks folders that hold weights."""

    def __init__(self, found: Findings, files: Files) -> None:
        self._found, self._files = found, files

    def model(self, folder: Path, mend: str) -> None:
        """A model in Hugging Face layout: its config, and each tensor that its index names."""
        self._found.looked_at["models"] += 1
        if not folder.is_dir():
            self._found.fault(folder, "the model is missing", mend)
            return
        self._files.object(folder / "config.json")
        held = {path.name: names for path, names in self._headers(folder, mend)}
        index = folder / _INDEX
        if index.exists():
            content = self._files.object(index) or {}
            weights = content.get("weight_map")
            for tensor, file in weights.items() if isinstance(weights, dict) else ():
                if tensor not in held.get(str(file), ()):
                    self._found.fault(folder, f"{_INDEX} names tensor {tensor} in {file}, which is not there", mend)
        elif not any(folder.glob("*.safetensors")):
            self._found.fault(folder, "there are no safetensors files", mend)

    def checkpoints(self, stage: Path) -> list[int]:
        """The steps of the whole checkpoints in a folder, which are checked; what a kill left is noted."""
        steps, faults = [], damaged(stage)
        for folder in sorted(stage.glob("checkpoint-*")):
            step = folder.name.removeprefix("checkpoint-")
            if not (step.isdecimal() and (folder / MARKER).is_file()):
                self._found.note(folder, f"not a whole checkpoint (no {MARKER}): it is not gone on from, and deleted")
                continue
            if folder in faults:
                mend = "delete this checkpoint, or restore it from a copy: it is not gone on from"
                self._found.fault(folder, f"not whole: {faults[folder]}", mend)
                continue
            self._checkpoint(folder)
            steps.append(int(step))
        for leftover in sorted([*stage.glob(".*.writing"), *stage.glob(".*.retired")]):
            self._found.note(leftover, "left by a kill while a folder was written; the next attempt removes it")
        return sorted(steps)

    def _checkpoint(self, folder: Path) -> None:
        mend = "delete this checkpoint: the one before it is gone on from"
        self._found.looked_at["checkpoints"] += 1
        state = parse_object(folder.joinpath("state.json").read_bytes()) if (folder / "state.json").is_file() else None
        if state is None or not {"state", "optimizer", "version", "rng"} <= state.keys():
            self._found.fault(folder / "state.json", "missing or damaged", mend)
        self.model(folder / "model", mend)
        optimizer = [path for path, _ in self._headers(folder, mend) if path.name.startswith("optimizer")]
        parts = list(self._headers(folder / "optimizer", mend)) if (folder / "optimizer").is_dir() else []
        numbers = sorted(int(match[1]) for path, _ in parts if (match := _PART.match(path.name)))
        if not optimizer and not parts:
            self._found.fault(folder, "the optimizer's state is missing", mend)
        if numbers != list(range(1, len(parts) + 1)):
            self._found.fault(folder / "optimizer", f"parts are missing: there are {numbers}", mend)

    def _headers(self, folder: Path, mend: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The whole safetensors files of a folder, with what they hold; others are findings."""
        for path in sorted(folder.glob("*.safetensors")):
            try:
                yield path, header(path)
            except (OSError, ValueError) as error:
                self._found.fault(path, str(error), mend)
