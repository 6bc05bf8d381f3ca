"""The command that compares arms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metis_rise.cli.app import Debug, Quiet, app, exit_codes, say_loading


@app.command()
def ablate(
    arms: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARM", help="Shipped arms (--list) or .yaml files; all shipped ones when none is named."
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="N,N", help="Seeds, each of which every arm runs with.")
    ] = "0",
    bases: Annotated[
        str, typer.Option("--bases", metavar="MODEL,MODEL", help="Models that every arm begins with.")
    ] = "tiny",
    results: Annotated[
        Path, typer.Option("--results", help="The results file; what is in it is not done again.", dir_okay=False)
    ] = Path("docs/evidence/results.jsonl"),
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ARM", help="Only arms of this name, pattern or group; may be repeated."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting for every arm that does not set it itself; may be repeated."
        ),
    ] = None,
    root: Annotated[Path, typer.Option("--root", help="Folder of the runs.", file_okay=False)] = Path("runs/ablation"),
    on: Annotated[
        Literal["test", "dev"], typer.Option("--on", help="What is scored: dev to tune, test to report.")
    ] = "test",
    samples: Annotated[int, typer.Option("--samples", min=1, help="Sampled answers per problem, for pass@k.")] = 1,
    minutes: Annotated[
        float | None, typer.Option("--budget-minutes", min=0, help="Begin nothing after so many minutes.")
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Run nothing; print the tables of the results.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="With --table: write them; .html has plots as well.", dir_okay=False)
    ] = None,
    claims: Annotated[
        Path | None,
        typer.Option(
            "--claims",
            metavar="FILE",
            help="With --table: claims of yours to decide; those of docs/evidence.md without it.",
            dir_okay=False,
        ),
    ] = None,
    list_arms: Annotated[bool, typer.Option("--list", help="Run nothing; list the arms.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare arms from one base under one budget: RISE, its parts left out, its rivals (docs/evidence.md).

    Each arm, base and seed is a cell. A finished one is a line of the results file, and the same command goes on with
    those that are not there; stages that arms share are done once.

    Example: rise ablate --only main --seeds 1,2,3,4,5

    Example: rise ablate rise cold --seeds 0 --budget-minutes 30

    Example: rise ablate --table --out evidence.html
    """
    with exit_codes(debug, quiet=quiet):
        from metis_rise.ablation import command

        if list_arms:
            typer.echo(command.listed(arms or [], only or [], results), nl=False)
        elif table or out is not None or claims is not None:
            command.show(arms or [], results=results, only=only or [], out=out, claims=claims)
        else:
            say_loading()
            command.ablate(
                arms or [],
                seeds=seeds,
                bases=bases,
                results=results,
                only=only or [],
                settings=settings or [],
                root=root,
                on=on,
                samples=samples,
                minutes=minutes,
            )
