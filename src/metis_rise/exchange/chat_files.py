"""ShareGPT JSON beside a folder of pictures: what LLaMA-Factory and most SFT tools read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metis_rise.exchange.sft_set import Example, SFTSet
from metis_rise.run import write_atomic, write_jsonl

IMAGE = "<image>"
# What LLaMA-Factory takes for a picture, film or sound wherever it stands, and then misses the file.
_PLACEHOLDER = re.compile("<(image|video|audio)>")
DATASET = "rise_sft"


def write_sharegpt(found: SFTSet, folder: Path) -> str:
    """train.jsonl and images/; paths of pictures are relative to `folder`. Returns how to load it."""
    write_jsonl(folder / "train.jsonl", _rows(found, folder, with_system_turn=True), checked=False)
    return f"one conversation per line of {folder / 'train.jsonl'}, pictures relative to {folder}"


def write_llamafactory(found: SFTSet, folder: Path) -> str:
    """train.json, dataset_info.json and images/, for LLaMA-Factory's `dataset_dir`. Returns how to load it."""
    rows = list(_rows(found, folder, with_system_turn=False))
    write_atomic(folder / "train.json", json.dumps(rows, ensure_ascii=False, indent=0) + "\n")
    columns = {"messages": "conversations", "images": "images"} | ({} if found.system is None else {"system": "system"})
    info = {DATASET: {"file_name": "train.json", "formatting": "sharegpt", "columns": columns}}
    write_atomic(folder / "dataset_info.json", json.dumps(info, indent=2) + "\n")
    return (
        f"in LLaMA-Factory: dataset_dir: {folder}, media_dir: {folder}, dataset: {DATASET}; "
        "set cutoff_len above the longest trajectory, its default cuts reasoning"
    )


def _rows(found: SFTSet, folder: Path, *, with_system_turn: bool) -> Iterator[dict[str, Any]]:
    (folder / "images").mkdir(parents=True)
    for example in tqdm(found.examples, desc="export", unit="example", leave=False, delay=2):
        messages = found.messages(example)
        turns = [{"from": "human", "value": flat(messages[-1]["content"])}]
        turns.append({"from": "gpt", "value": plain(example.completion)})
        if with_system_turn and found.system is not None:
            turns.insert(0, {"from": "system", "value": plain(found.system)})
        row: dict[str, Any] = {"id": example.id, "conversations": turns, "images": _pictures(found, example, folder)}
        if not with_system_turn and found.system is not None:
            row["system"] = plain(found.system)
        yield row | {"source": example.source, "solve_rate": example.solve_rate, "round": example.round}


def flat(parts: list[dict[str, Any]]) -> str:
    """Content parts as one text with the marker `<image>` for each picture."""
    return "".join(IMAGE if part["type"] == "image" else plain(part["text"]) for part in parts)


def plain(text: str) -> str:
    """`text` with `<image>`, `<video>` and `<audio>`, which other tools obey wherever they stand, out of brackets."""
    return _PLACEHOLDER.sub(r"\1", text)


def _pictures(found: SFTSet, example: Example, folder: Path) -> list[str]:
    names = []
    for key in example.problem.images:
        name = f"images/{found.images.path(key).name}"
        if not (folder / name).exists():
            (folder / name).write_bytes(found.images.read(key))
        names.append(name)
    return names
