"""`rise export sft`: a run's SFT set with its pictures, in the form that another tool reads."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from metis_rise.disk import writing
from metis_rise.errors import InputError
from metis_rise.exchange.chat_files import write_llamafactory, write_sharegpt
from metis_rise.exchange.sft_set import SFTSet, read_set
from metis_rise.exchange.tables import write_parquet, write_trl

FORMATS: Mapping[str, Callable[[SFTSet, Path], str]] = {
    "trl": write_trl,
    "llamafactory": write_llamafactory,
    "sharegpt": write_sharegpt,
    "parquet": write_parquet,
}


def export_sft(run: Path, kind: str, target: Path) -> None:
    """Writes the run's SFT set as `kind` (a key of `FORMATS`) into the new folder `target`, whole or not at all.

    Raises:
        InputError: no finished set there, or a `target` that exists.
    """
    if target.exists():
        raise InputError(f"{target}: exists; name a new folder with --to")
    found = read_set(run)
    if not found.examples:
        raise InputError(f"{run}: its SFT set is empty, there is nothing to export")
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            said = FORMATS[kind](found, partial)
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    counts = Counter(example.source for example in found.examples)
    listed = ", ".join(f"{n} {source}" for source, n in counts.items())
    typer.echo(f"{target}: {len(found.examples)} examples ({listed})")
    typer.echo(f"load it: {said.replace(str(partial), str(target))}")
