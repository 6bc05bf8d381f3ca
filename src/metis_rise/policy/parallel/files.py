"""Safetensors files read and written without the whole of them in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from metis_rise.errors import InputError
from metis_rise.policy.families import read_json

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
# As transformers cuts them.
FILE_BYTES = 5 * 10**9
CODES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}

# Name and shape of a tensor.
Entry = tuple[str, tuple[int, ...]]


class WeightFiles:
    """The tensors of a model folder, by the names in its files."""

    def __init__(self, folder: Path) -> None:
        """InputError when there are no safetensors files, or they cannot be read."""
        self.folder = folder
        if (folder / INDEX).is_file():
            named: dict[str, str] = read_json(folder / INDEX).get("weight_map", {})
            self._files = {name: folder / file for name, file in named.items()}
        else:
            with self._open(folder / SINGLE) as file:
                self._files = dict.fromkeys(file.keys(), folder / SINGLE)

    def __contains__(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return name in self._files

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        with self._open(self._files[name]) as file:
            return tuple(file.get_slice(name).get_shape())

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of a tensor."""
        # Opened anew each time: pages of a file stay in this process's memory for as long as it is open.
        with self._open(self._files[name]) as file:
            found: Tensor = file.get_slice(name)[start:stop]
            return found

    def _open(self, path: Path) -> safe_open:
        try:
            return safe_open(path, framework="pt")
        except (OSError, SafetensorError) as error:
            fault = str(error).splitlines()[0]
            raise InputError(f"{self.folder}: the weights cannot be loaded ({path.name}: {fault})") from error


def write_files(folder: Path, entries: Sequence[Entry], dtype: torch.dtype, tensors: Iterable[Tensor]) -> None:
    """Write `tensors`, which come one at a time as `entries` say, into files of at most 5 GB, with their index."""
    files = _cut(entries, dtype)
    source = iter(tensors)
    places: dict[str, str] = {}
    for number, part in enumerate(files, 1):
        name = SINGLE if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        places |= dict.fromkeys((entry for entry, _ in part), name)
        _write_file(folder / name, part, dtype, source)
    if len(files) > 1:
        total = sum(_bytes(entry, dtype) for entry in entries)
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_file(path: Path, entries: Sequence[Entry], dtype: torch.dtype, tensors: Iterator[Tensor]) -> None:
    """One safetensors file: the length of its header, the header (padded to 8 bytes), the tensors."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for entry in entries:
        start, end = end, end + _bytes(entry, dtype)
        header[entry[0]] = {"dtype": CODES[dtype], "shape": list(entry[1]), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for (name, shape), tensor in zip(entries, tensors, strict=False):
            assert tuple(tensor.shape) == shape, name
            file.write(tensor.to("cpu", dtype).contiguous().flatten().view(torch.uint8).numpy().data)


def _cut(entries: Sequence[Entry], dtype: torch.dtype) -> list[list[Entry]]:
    files: list[list[Entry]] = []
    held = 0
    for entry in entries:
        size = _bytes(entry, dtype)
        if not files or held + size > FILE_BYTES:
            files.append([])
            held = 0
        files[-1].append(entry)
        held += size
    return files


def _bytes(entry: Entry, dtype: torch.dtype) -> int:
    return math.prod(entry[1]) * dtype.itemsize
