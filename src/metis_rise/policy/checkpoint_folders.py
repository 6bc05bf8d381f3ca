"""Which checkpoints DIR/checkpoint-N are whole, by their marker and the sizes of their files; no torch."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from metis_rise.journal import parse_object

MARKER = "COMPLETE"
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_path(folder: Path, step: int) -> Path:
    """The checkpoint of a step, there or not."""
    return folder / f"checkpoint-{step}"


def seal(folder: Path) -> None:
    """Says that all files of the checkpoint `folder` are there, and how long each is; none is written afterwards."""
    marker = folder / MARKER
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != marker)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    marker.write_text(json.dumps({"sizes": sizes}, indent=1) + "\n", encoding="utf-8")


def fault(folder: Path) -> str:
    """Why the checkpoint `folder` is not whole, "" when it is.

    A file that is shorter than it was is found so, which a disk that lies about what is synced can leave behind; a bit
    that flipped is not.
    """
    marker = folder / MARKER
    if not marker.is_file():
        return f"no {MARKER}"
    content = marker.read_bytes()
    if not content:
        # Versions before sizes were written touched it; a disk that lies leaves everything empty.
        empty = next((path.name for path in _tensors_and_state(folder) if not path.stat().st_size), None)
        return "" if empty is None else f"{empty} is empty"
    sizes = (parse_object(content) or {}).get("sizes")
    if not isinstance(sizes, dict):
        return f"{MARKER} is damaged"
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (there := path.stat().st_size) != size:
            return f"{name} is {there} bytes long, and was {size} when it was written"
    return ""


def _tensors_and_state(folder: Path) -> list[Path]:
    return [*folder.glob("state.json"), *folder.rglob("*.safetensors")]


def newest(folder: Path) -> Path | None:
    """The whole checkpoint of the highest step in `folder`, None when there is none."""
    return max(_whole(folder).items(), default=(0, None))[1]


def damaged(folder: Path) -> dict[Path, str]:
    """The checkpoints in `folder`, in the order of steps, that were whole once and are not, with what is wrong."""
    marked = {path: fault(path) for _, path in _all(folder) if (path / MARKER).is_file()}
    return {path: why for path, why in marked.items() if why}


def prune(folder: Path, keep: int, protect: Collection[Path] = ()) -> None:
    """Delete all checkpoints in `folder` but the `keep` newest whole ones and those in `protect`."""
    kept = {path.resolve() for _, path in sorted(_whole(folder).items(), reverse=True)[:keep]}
    kept |= {path.resolve() for path in protect}
    for _, path in _all(folder):
        if path.resolve() not in kept:
            # The marker goes first, so that a half-deleted checkpoint is not taken for a whole one.
            (path / MARKER).unlink(missing_ok=True)
    sweep(folder)


def sweep(folder: Path) -> None:
    """Delete what a kill left in `folder` of checkpoints that were being deleted."""
    for _, path in _all(folder):
        if not (path / MARKER).is_file():
            shutil.rmtree(path)


def _whole(folder: Path) -> dict[int, Path]:
    return {step: path for step, path in _all(folder) if not fault(path)}


def _all(folder: Path) -> list[tuple[int, Path]]:
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*"))
    return sorted((int(match[1]), path) for match, path in found if match)
