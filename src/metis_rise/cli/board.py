"""The command that puts evaluated models beside the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metis_rise.cli.app import Debug, app, exit_codes


@app.command()
def leaderboard(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN",
            help="Run folders with evaluated models, and folders that `rise eval MODEL --benchmark ... --out` wrote; "
            "without any, the published table alone.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    form: Annotated[
        Literal["md", "csv", "html"] | None,
        typer.Option("--format", help="The ending of --out when not given; a table on the terminal without --out."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write.", dir_okay=False)] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="Show 95 % intervals.")] = False,
    debug: Debug = False,
) -> None:
    """Print the six benchmarks and their mean for your models, beside the published table of Metis-RISE.

    A run's base model always stands beside what became of it. There is no mean where a benchmark is missing or was
    evaluated in part. Figures measured in different ways are marked: their differences say little about the models.

    Example: rise leaderboard runs/mine evals/Qwen2.5-VL-7B-Instruct --out board.html
    """
    with exit_codes(debug):
        from metis_rise.evaluation.board import command

        command.leaderboard(folders or [], form=form, out=out, intervals=intervals)
