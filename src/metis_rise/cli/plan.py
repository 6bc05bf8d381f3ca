"""The command that says what a recipe takes before it is launched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metis_rise.cli.app import Debug, app, exit_codes, say_loading
from metis_rise.cli.runs import Overrides, RecipeArgument

if TYPE_CHECKING:
    from metis_rise.cluster.facts import ModelFacts
    from metis_rise.cluster.rates import Rates
    from metis_rise.cluster.workload import Workload
    from metis_rise.recipe import Recipe


@app.command()
def plan(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="Kind of GPU, such as h100-80gb (cluster.gpu).")] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", help="Machines (cluster.nodes).")] = None,
    completion: Annotated[
        float | None,
        typer.Option("--completion-tokens", min=1, help="Tokens of the mean completion; else a share of the longest."),
    ] = None,
    teaching: Annotated[
        float | None,
        typer.Option("--teaching", min=0.01, max=1, help="Share of groups that pass RL's filter; else a half."),
    ] = None,
    utilisation: Annotated[
        float | None,
        typer.Option("--utilisation", min=0.01, max=1, help="Share of a GPU's arithmetic that training reaches."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            metavar="RUN",
            help="A run's folder: completions and filter as they were there and, without --gpu, its speed too.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    debug: Debug = False,
) -> None:
    """Say what a recipe takes: memory of each GPU, time by stage, the bottleneck, what to change if it does not fit.

    The model's config is enough, no weights are needed. Without a kind of GPU the plan is for this machine, which is
    measured for a few seconds; then the weights must be here.

    Example: rise plan user_jsonl problems.train=train.jsonl problems.test=test.jsonl
    model.path=Qwen/Qwen2.5-VL-7B-Instruct --gpu h100-80gb

    Example: rise plan tiny --json
    """
    with exit_codes(debug):
        from rich.console import Console

        from metis_rise.cluster.plan import Asked, make_plan
        from metis_rise.cluster.show import look
        from metis_rise.recipe import load_recipe

        asked_of = {"cluster.gpu": gpu, "cluster.nodes": nodes}
        shorthand = [f"{key}={value}" for key, value in asked_of.items() if value is not None]
        loaded = load_recipe(recipe, [*(overrides or []), *shorthand])
        asked = Asked(completion, teaching, utilisation, like)
        found = look(make_plan(loaded, asked, _measure), asked)
        if as_json:
            typer.echo(json.dumps(found.to_json(), indent=1))
        else:
            found.show(Console())


def _measure(recipe: Recipe, facts: ModelFacts, work: Workload) -> Rates:
    """Rates of this machine; torch is imported only where they are asked for."""
    say_loading()
    from metis_rise.cluster.measuring import measure

    return measure(recipe, facts, work)
