"""Where a benchmark's data file is; nothing is ever downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from metis_rise.benchmarks.base import Benchmark, Known
from metis_rise.benchmarks.problems_file import World
from metis_rise.errors import InputError

VARIABLE = "LMUData"
"""The environment variable in which VLMEvalKit keeps its data folder; without it, a folder of that name at home."""


def find(benchmark: Benchmark, data: Path | None, option: str = "--data") -> Path | None:
    """The data file of a benchmark; None where it needs none.

    Args:
        benchmark: whose file.
        data: that file, or a folder that holds it; None looks in `$LMUData`, without it in `~/LMUData`.
        option: by which the command is told of `data`, for the message.

    Raises:
        InputError: it is not there; the message says where to get it, and its MD5.
    """
    if isinstance(benchmark, World):
        return None
    if data is not None and not data.is_dir():
        if data.exists():
            return data
        raise InputError(f"{data}: there is no such file or folder; {_where_from(benchmark.known, option)}")
    if benchmark.known is None:
        raise InputError(f"{benchmark.title} needs a problem file (docs/data.md); give it with {option} FILE.jsonl")
    folder = data if data is not None else default_folder()
    names = _names(benchmark.known)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: no {' or '.join(names)} for {benchmark.title}; {_where_from(benchmark.known, option)}")


def default_folder() -> Path:
    """VLMEvalKit's data folder: `$LMUData`, or `~/LMUData` where that is not set."""
    return Path(os.environ.get(VARIABLE) or Path.home() / VARIABLE)


def _names(known: Known) -> list[str]:
    """File names in the order they are looked for; the authors keep theirs in a folder `data`, if in any."""
    tables = [f"{name}.tsv" for name in (known.dataset, *known.also_called)]
    return [*tables, *(name for file in known.files for name in (file, f"data/{file}"))]


def _where_from(known: Known | None, option: str) -> str:
    if known is None:
        return "give the path of a JSONL file (docs/data.md)"
    place = f"give it with {option}, or set ${VARIABLE}"
    return f"get {known.dataset}.tsv from {known.source} (MD5 {known.md5}) and {place}"
