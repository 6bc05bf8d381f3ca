"""The command that checks run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metis_rise.cli.app import Debug, app, exit_codes

_FAULTY = 2


@app.command()
def check(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="A run folder, or the folder of an evaluation.", exists=True, file_okay=False
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Debug = False,
) -> None:
    """Check that a run or an evaluation is whole, and say what goes on with the next command. Changes nothing.

    Every line's checksum, counts against what finished stages said, problems lost or doubled, pictures, the headers of
    models and checkpoints. Exit code 0, or 2 where something is wrong.

    Example: rise check runs/tiny

    Example: rise check evals/tiny
    """
    with exit_codes(debug):
        from metis_rise.check import command

        if not command.check(folder, as_json=as_json):
            raise typer.Exit(_FAULTY)
