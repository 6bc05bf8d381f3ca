"""The commands that look at runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metis_rise.cli.app import Debug, app, exit_codes

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", exists=True, file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def status(run_folder: RunFolder, as_json: Json = False, debug: Debug = False) -> None:
    """Say where a run stands: who works on it, how far it has come, when the stage will end, what was warned of.

    Example: rise status runs/tiny
    """
    with exit_codes(debug):
        from rich.console import Console

        from metis_rise.look.status import print_status

        print_status(run_folder, Console(), as_json=as_json)


@app.command()
def show(
    run_folder: RunFolder,
    problem: Annotated[
        str, typer.Argument(metavar="PROBLEM", help="A problem's id, or a part of it that no other id has.")
    ],
    every: Annotated[bool, typer.Option("--all", help="Every trajectory, in full.")] = False,
    pictures: Annotated[
        Literal["auto", "kitty", "iterm", "sixel", "blocks", "none"],
        typer.Option("--pictures", help="How pictures are drawn; auto takes the best that the terminal says it can."),
    ] = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show a problem of a run: its pictures, its question, where it stands, and what was answered at every stage.

    Example: rise show runs/tiny dial-1-test-0-0000
    """
    with exit_codes(debug):
        from rich.console import Console

        from metis_rise.look.picture import Way
        from metis_rise.look.show import print_problem

        way = None if pictures == "auto" else Way(pictures)
        print_problem(run_folder, problem, Console(), every=every, as_json=as_json, way=way)


@app.command()
def compare(
    first: RunFolder,
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another run folder.", exists=True, file_okay=False)],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare two runs: scores with intervals, whether they differ on the same problems, which settings differ.

    Example: rise compare runs/tiny runs/no-replay
    """
    with exit_codes(debug):
        from rich.console import Console

        from metis_rise.look.compare_tables import print_comparison

        print_comparison(first, second, Console(), as_json=as_json)
