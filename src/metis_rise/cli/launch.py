"""The command that writes launch files for schedulers."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from metis_rise.cli.app import Debug, app, exit_codes
from metis_rise.cli.runs import Name, Overrides, RecipeArgument


@app.command()
def launch(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    to: Annotated[
        Literal["slurm", "skypilot"], typer.Option("--to", help="Whose file: a script for sbatch, YAML for sky launch.")
    ] = "slurm",
    name: Name = None,
    root: Annotated[str, typer.Option("--root", help="Folder of all runs, which all machines see.")] = "runs",
    debug: Debug = False,
) -> None:
    """Print the file that a scheduler needs to do a recipe's run on the machines of its part `cluster`.

    It starts the vLLM servers, waits for them, and trains; docs/scaling.md walks through it. Nothing is started here.

    Example: rise launch qwen2_5_vl_7b problems.train=train.jsonl problems.test=test.jsonl --to slurm > job.sh

    Example: rise launch qwen2_5_vl_72b cluster.nodes=16 cluster.server_nodes=6 problems.train=train.jsonl
    problems.test=test.jsonl --to skypilot > job.yaml
    """
    with exit_codes(debug):
        from metis_rise.cluster.launch import launch_file, misfits
        from metis_rise.recipe import load_recipe
        from metis_rise.run import check_name

        settings = list(overrides or [])
        loaded = load_recipe(recipe, settings)
        check_name(name or loaded.name)
        text = launch_file(to, loaded, [recipe, *settings, "--name", name or loaded.name, "--root", root])
        for line in misfits(loaded):
            typer.echo(f"warning: {line}", err=True)
        typer.echo(text, nl=False)
