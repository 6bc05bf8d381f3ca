"""Whether two folders of one run hold the same, but for what a clock says and what belongs to a process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEFT_OUT = {
    "time": "when a line was written",
    "seconds": "how long something took, in a step, a stage or a run",
    "tokens_per_second": "speed",
    "waiting": "share of a step's seconds",
    "data_waiting": "share of a step's seconds",
    "images_encoded": "the cache of what the vision tower said is a process's own, and begins empty after a kill",
    "peak_memory_mb": "a process's own",
    "crc32": "of a line that holds one of the others; `rise check` verifies it",
    "state.json": "size of a checkpoint's file that holds seconds",
}
"""Fields of `CLOCKED` files that are not compared, and why."""

CLOCKED = ("metrics.jsonl", "manifest.jsonl", "summary.json", "DONE", "state.json", "COMPLETE")
"""Files with such fields; of all others every byte is compared."""

OWN = {
    "log.txt": "what was said in all attempts, with times",
    "logs": "one file per attempt",
    "report.html": "a view of the other files, with their times",
}
"""Files and folders that must be there and are not compared, and why."""

_ATTEMPTS = "start"


def differences(calm: Path, other: Path) -> list[str]:
    """What differs between two run folders, one line each."""
    found = [f"{name}: only in {calm.name}" for name in sorted(_files(calm).keys() - _files(other).keys())]
    found += [f"{name}: only in {other.name}" for name in sorted(_files(other).keys() - _files(calm).keys())]
    found += [f"{name}: missing" for name in OWN if not (other / name).exists()]
    for name in sorted(_files(calm).keys() & _files(other).keys()):
        found += _differ(name, calm / name, other / name)
    return found


def _files(run: Path) -> dict[str, Path]:
    paths = {path.relative_to(run): path for path in run.rglob("*") if path.is_file()}
    return {str(name): path for name, path in paths.items() if name.parts[0] not in OWN}


def _differ(name: str, calm: Path, other: Path) -> Iterator[str]:
    first, second = calm.read_bytes(), other.read_bytes()
    if first == second:
        return
    if calm.name not in CLOCKED:
        yield f"{name}: {_place(first, second)}"
        return
    left, right = _objects(first, calm.suffix), _objects(second, calm.suffix)
    if len(left) != len(right):
        yield f"{name}: {len(left)} and {len(right)} rows"
    for row, (mine, theirs) in enumerate(zip(left, right, strict=False), start=1):
        if mine != theirs:
            yield f"{name} row {row}: {json.dumps(mine)[:200]} and {json.dumps(theirs)[:200]}"


def _place(first: bytes, second: bytes) -> str:
    pairs = enumerate(zip(first, second, strict=False))
    same = next((place for place, (mine, theirs) in pairs if mine != theirs), min(len(first), len(second)))
    line = first.count(b"\n", 0, same) + 1
    return f"{len(first)} and {len(second)} bytes, first difference at byte {same} (line {line})"


def _objects(content: bytes, suffix: str) -> list[Any]:
    """The objects in a file without `LEFT_OUT`, and without the manifest's line for each attempt."""
    objects = [json.loads(line) for line in content.splitlines()] if suffix == ".jsonl" else [json.loads(content)]
    return [_without(each) for each in objects if each.get("kind") != _ATTEMPTS]


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in LEFT_OUT}
    return [_without(item) for item in value] if isinstance(value, list) else value
