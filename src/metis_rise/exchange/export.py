"""`rise export sft`: a run's SFT set with its pictures, in the form that another tool reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from metis_rise.errors import InputError
from metis_rise.exchange.chat_files import write_llamafactory, write_sharegpt
from metis_rise.exchange.folder import new_folder
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
    found = read_set(run)
    if not found.examples:
        raise InputError(f"{run}: its SFT set is empty, there is nothing to export")
    with new_folder(target) as partial:
        said = FORMATS[kind](found, partial)
    counts = Counter(example.source for example in found.examples)
    listed = ", ".join(f"{n} {source}" for source, n in counts.items())
    typer.echo(f"{target}: {len(found.examples)} examples ({listed})")
    typer.echo(f"load it: {said.replace(str(partial), str(target))}")
