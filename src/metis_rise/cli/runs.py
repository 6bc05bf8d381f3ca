"""Commands that do a recipe, and those that read recipes and runs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metis_rise.cli.app import AsJson, Debug, Quiet, app, exit_codes, leads, say_loading
from metis_rise.errors import InputError

if TYPE_CHECKING:
    from metis_rise.recipe import Recipe

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A shipped recipe (rise recipes) or a .yaml file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings that replace the recipe's, such as rl.group_size=16."),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the run; the recipe's name when not given.")]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out rows of problem files that cannot be used, counted (problems.skip_bad=true)."
    ),
]
Nproc = Annotated[
    int | None,
    typer.Option(
        "--nproc", min=1, help="Processes on this machine that do it together, such as its GPUs (docs/scaling.md)."
    ),
]
Root = Annotated[Path, typer.Option("--root", help="Folder of all runs.", file_okay=False)]

_LEADER_SAYS_S = 5.0

_STAGE_COMMANDS = {
    "rl": (
        "rl",
        "Stage 1: reinforcement learning (GRPO) on the training problems, rewarded for right, well-formed answers.",
    ),
    "diagnose": (
        "diagnose",
        "Stage 2: sample every training problem several times with the RL model and sort the problems into "
        "mastered, inconsistent and absent by their solve rate.",
    ),
    "distill": (
        "distill",
        "Stage 3: keep the RL model's own right and checked completions of inconsistent problems as examples.",
    ),
    "expert": (
        "expert",
        "Stage 4: let experts solve the absent problems: the world's own, the data's `solution` field, or models "
        "behind OpenAI-compatible APIs (docs/data-engine.md). Every reply is verified; none is paid for twice.",
    ),
    "sft": (
        "sft",
        "Stage 5: fine-tune the RL model on both kinds of examples, stage by stage, with replay of what it knows.",
    ),
}


@app.command()
def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    name: Name = None,
    root: Root = Path("runs"),
    skip_bad: SkipBad = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Of a new run: take over the finished stages of this run that come before the first changed setting.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run of this name and start again; asks.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --fresh: delete without asking.")] = False,
    nproc: Nproc = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Do the whole method: RL, diagnosis, self-distillation, expert, SFT, evaluation, report.

    Stages that are done are skipped, so the same command resumes an interrupted run.

    Example: rise run tiny rl.steps=50 --name short

    Example: rise run tiny sft.stages.1.replay=0 --name no-replay --from runs/tiny
    """
    with exit_codes(debug, quiet=quiet, as_json=as_json):
        loaded = _load(recipe, overrides, skip_bad)
        name = name or loaded.name
        if fresh and not yes and leads():
            _confirm_deletion(root / name)
        _run_in_several(nproc, ["--yes"] if fresh else [])
        say_loading()
        from metis_rise import pipeline

        _result(pipeline.run(loaded, root, name, fresh, source), as_json)


def _add_stage_command(command_name: str, stage: str, text: str) -> None:
    def command(
        recipe: RecipeArgument,
        overrides: Overrides = None,
        name: Name = None,
        root: Root = Path("runs"),
        skip_bad: SkipBad = False,
        nproc: Nproc = None,
        quiet: Quiet = False,
        as_json: AsJson = False,
        debug: Debug = False,
    ) -> None:
        with exit_codes(debug, quiet=quiet, as_json=as_json):
            do_stage(stage, recipe, overrides, name, root, skip_bad, nproc, as_json)

    def expert_command(
        recipe: RecipeArgument,
        overrides: Overrides = None,
        name: Name = None,
        root: Root = Path("runs"),
        skip_bad: SkipBad = False,
        dry_run: Annotated[
            bool,
            typer.Option(
                "--dry-run", help="Call nobody: print how many calls there would be, and what they would cost."
            ),
        ] = False,
        nproc: Nproc = None,
        quiet: Quiet = False,
        as_json: AsJson = False,
        debug: Debug = False,
    ) -> None:
        if not dry_run:
            command(recipe, overrides, name, root, skip_bad, nproc, quiet, as_json, debug)
            return
        with exit_codes(debug):
            if nproc is not None and nproc > 1:
                raise InputError(f"--nproc {nproc}: a dry run is done by one process; leave --nproc out")
            if quiet or as_json:
                raise InputError("--dry-run only prints a table; leave out --quiet and --json")
            loaded = _load(recipe, overrides, skip_bad)
            say_loading()
            from metis_rise import pipeline

            pipeline.dry_run_expert(loaded, root, name or loaded.name)

    needs = "" if stage == "rl" else "The stages before it must be done.\n\n"
    app.command(command_name, help=f"{text}\n\n{needs}Example: rise {command_name} tiny --name mine")(
        expert_command if stage == "expert" else command
    )


for _command_name, (_stage, _text) in _STAGE_COMMANDS.items():
    _add_stage_command(_command_name, _stage, _text)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Recipe to print in full.")] = None,
    debug: Debug = False,
) -> None:
    """List the shipped recipes, or print one, to read it or to start your own from it.

    Example: rise recipes tiny > mine.yaml
    """
    with exit_codes(debug):
        from metis_rise.recipe import shipped_recipe, shipped_recipes

        if name is not None:
            typer.echo(shipped_recipe(name), nl=False)
            return
        for shipped, text in shipped_recipes().items():
            typer.echo(f"{shipped:<21}{text.splitlines()[0].removeprefix('# ')}")


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", exists=True, file_okay=False)],
    debug: Debug = False,
) -> None:
    """Print a run's tables again and rebuild its report.html from what is in the folder.

    Example: rise report runs/tiny
    """
    with exit_codes(debug):
        from metis_rise import pipeline

        pipeline.report(run_folder)


def do_stage(
    stage: str,
    recipe: str,
    overrides: list[str] | None,
    name: str | None,
    root: Path,
    skip_bad: bool,
    nproc: int | None,
    as_json: bool = False,
) -> None:
    """Does one stage of a recipe, in `nproc` processes; the stages before it must be done.

    With `as_json` the run's status is printed at the end, as `rise status RUN --json` does.
    """
    loaded = _load(recipe, overrides, skip_bad)
    _run_in_several(nproc)
    say_loading()
    from metis_rise import pipeline

    _result(pipeline.run_stage(loaded, root, name or loaded.name, stage), as_json)


def _result(run_folder: Path, as_json: bool) -> None:
    """What a command that does a recipe prints in the end for other programs, if it is asked to."""
    if as_json and leads():
        from rich.console import Console

        from metis_rise.look.status import print_status

        print_status(run_folder, Console(), as_json=True)


def _run_in_several(processes: int | None, more: Sequence[str] = ()) -> None:
    """With several processes: runs this very command in each, `more` added, and exits when they have ended."""
    # One of the processes that were started so has the option too.
    if processes is None or processes == 1 or "LOCAL_RANK" in os.environ:
        return
    from metis_rise.stages.team.launching import launch

    raise typer.Exit(launch([*sys.argv[1:], *more], processes))


def _load(recipe: str, overrides: list[str] | None, skip_bad: bool) -> Recipe:
    from metis_rise.recipe import load_recipe

    try:
        return load_recipe(recipe, [*(overrides or []), *(["problems.skip_bad=true"] if skip_bad else [])])
    except InputError:
        if not leads():
            # The leader most likely says the same, and all end with it.
            time.sleep(_LEADER_SAYS_S)
        raise


def _confirm_deletion(folder: Path) -> None:
    if not folder.exists():
        return
    if not sys.stdin.isatty():
        raise InputError(f"{folder}: --fresh deletes this run and there is no terminal to ask on; add --yes")
    if not typer.confirm(f"Delete the run {folder} and start again?"):
        raise InputError(f"{folder}: kept; leave out --fresh to resume it, or choose another --name")
