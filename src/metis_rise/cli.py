"""The command `rise`: parse and dispatch, nothing else. Heavy imports wait until a command needs them."""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from metis_rise.errors import InputError

if TYPE_CHECKING:
    from metis_rise.recipe import Recipe

app = typer.Typer(
    name="rise",
    help="Metis-RISE: reinforcement learning first, then targeted fine-tuning, for vision-language models.\n\n"
    "Start with: rise run tiny",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A shipped recipe (rise recipes) or a .yaml file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings that replace the recipe's, such as rl.group_size=16."),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the run; the recipe's name when not given.")]
Root = Annotated[Path, typer.Option("--root", help="Folder of all runs.", file_okay=False)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")]

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
        "Stage 4: let an expert solve the absent problems: the world's own expert, or the data's `solution` field.",
    ),
    "sft": (
        "sft",
        "Stage 5: fine-tune the RL model on both kinds of examples, stage by stage, with replay of what it knows.",
    ),
    "eval": (
        "evaluate",
        "Stage 6: score the base, RL and RISE models on the test problems, greedy and sampled.",
    ),
}


@app.command()
def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    name: Name = None,
    root: Root = Path("runs"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run of this name and start again; asks.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --fresh: delete without asking.")] = False,
    debug: Debug = False,
) -> None:
    """Do the whole method: RL, diagnosis, self-distillation, expert, SFT, evaluation, report.

    Stages that are done are skipped, so the same command resumes an interrupted run.

    Example: rise run tiny rl.steps=50 --name short
    """
    with _exit_codes(debug):
        loaded = _load(recipe, overrides)
        name = name or loaded.name
        if fresh and not yes:
            _confirm_deletion(root / name)
        _say_loading()
        from metis_rise import pipeline

        pipeline.run(loaded, root, name, fresh)


def _add_stage_command(command_name: str, stage: str, text: str) -> None:
    def command(
        recipe: RecipeArgument,
        overrides: Overrides = None,
        name: Name = None,
        root: Root = Path("runs"),
        debug: Debug = False,
    ) -> None:
        with _exit_codes(debug):
            loaded = _load(recipe, overrides)
            _say_loading()
            from metis_rise import pipeline

            pipeline.run_stage(loaded, root, name or loaded.name, stage)

    needs = "" if stage == "rl" else "The stages before it must be done.\n\n"
    app.command(command_name, help=f"{text}\n\n{needs}Example: rise {command_name} tiny --name mine")(command)


for _command_name, (_stage, _text) in _STAGE_COMMANDS.items():
    _add_stage_command(_command_name, _stage, _text)


@app.command()
def ask(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`tiny`, a model folder or a hub id.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture file.", exists=True, dir_okay=False)],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask about the picture.")],
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer in tokens.")] = 512,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 takes the likeliest answer.")] = 0.0,
    system: Annotated[
        str,
        typer.Option(
            "--system",
            help="System prompt: auto (what the model was trained with, else rise), rise, none, or a text file.",
        ),
    ] = "auto",
    dtype: Annotated[
        str, typer.Option("--dtype", help="Number format of the weights: float32, bfloat16 or float16.")
    ] = "float32",
    debug: Debug = False,
) -> None:
    """Ask a model about a picture and print its reasoning and its answer.

    Example: rise ask tiny picture.png "What is red plus blue?"
    """
    with _exit_codes(debug):
        _say_loading()
        from metis_rise.ask import ask_and_show

        ask_and_show(model, image, question, max_tokens, temperature, None if system == "none" else system, dtype)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Recipe to print in full.")] = None,
    debug: Debug = False,
) -> None:
    """List the shipped recipes, or print one, to read it or to start your own from it.

    Example: rise recipes tiny > mine.yaml
    """
    with _exit_codes(debug):
        from metis_rise.recipe import shipped_recipe, shipped_recipes

        if name is not None:
            typer.echo(shipped_recipe(name), nl=False)
            return
        for shipped, text in shipped_recipes().items():
            typer.echo(f"{shipped:<16}{text.splitlines()[0].removeprefix('# ')}")


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", exists=True, file_okay=False)],
    debug: Debug = False,
) -> None:
    """Print a run's tables again and rebuild its report.html from what is in the folder.

    Example: rise report runs/tiny
    """
    with _exit_codes(debug):
        from metis_rise import pipeline

        pipeline.report(run_folder)


@app.command()
def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`tiny`, a model folder or a hub id.")],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="VLLM_OPTION", help="After `--`: further options of vLLM's own server."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where it listens.")] = 8000,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address it listens on. Whoever reaches the server can replace its weights and run its methods: "
            "leave this machine only inside a network that you trust.",
        ),
    ] = "127.0.0.1",
    gpus: Annotated[int, typer.Option("--gpus", "--tensor-parallel", min=1, help="GPUs that share the model.")] = 1,
    max_model_len: Annotated[
        int | None, typer.Option("--max-model-len", min=1, help="Longest prompt and completion together, in tokens.")
    ] = None,
    max_num_seqs: Annotated[int, typer.Option("--max-num-seqs", min=1, help="Completions computed at once.")] = 128,
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option("--dtype", help="Number format; auto is bfloat16 on GPUs and float32 without."),
    ] = "auto",
    python: Annotated[
        str, typer.Option("--python", help="A Python whose environment has vLLM.", show_default="this one")
    ] = sys.executable,
    debug: Debug = False,
) -> None:
    """Start a vLLM server that a recipe with engine.kind=server can sample from and push weights to.

    Example: rise serve tiny --port 8000 --python vllm/bin/python
    """
    with _exit_codes(debug):
        _say_loading()
        from metis_rise.engines.server import launch

        options = launch.ServeOptions(
            model, host, port, gpus, max_model_len, max_num_seqs, dtype, python, tuple(more or ())
        )
        raise typer.Exit(launch.serve(options))


@app.command()
def bench(
    kind: Annotated[
        Literal["rollout", "update", "sft", "step"],
        typer.Argument(metavar="rollout|update|sft|step", help="What to measure."),
    ],
    everything: Annotated[bool, typer.Option("--all", help="update: all cases, not the five goal cases.")] = False,
    ragged: Annotated[
        bool, typer.Option("--ragged", help="update, sft: completions of an eighth of the full length and more.")
    ] = False,
    against: Annotated[
        Literal["trl", "vllm"] | None,
        typer.Option(
            "--against",
            help="trl (update, sft): TRL's own loss step too (extra bench). vllm (rollout): vLLM on the CPU, alone.",
        ),
    ] = None,
    vllm_python: Annotated[
        Path | None,
        typer.Option("--vllm-python", help="Python of the environment that has vLLM; else .venv-vllm/bin/python."),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads that torch computes with.")] = 1,
    memory: Annotated[
        bool | None,
        typer.Option(
            "--memory/--no-memory", help="Measure peak memory too, a process per arm; rollout, step: not unasked."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    debug: Debug = False,
) -> None:
    """Measure sampling, the policy update, fine-tuning or a whole GRPO step against the same work done by others.

    Example: rise bench update --json
    """
    with _exit_codes(debug):
        _say_loading()
        from metis_rise.bench import command
        from metis_rise.bench.options import Options

        options = Options(everything, ragged, against, vllm_python, threads, memory)
        command.run(kind, options, as_json=as_json)


def main() -> None:
    """Entry point of the command `rise`."""
    app(prog_name="rise")


def _load(recipe: str, overrides: list[str] | None) -> Recipe:
    from metis_rise.recipe import load_recipe

    return load_recipe(recipe, overrides or [])


def _say_loading() -> None:
    """Importing torch and transformers takes seconds, in which a person at a terminal would see nothing."""
    if sys.stderr.isatty():
        typer.echo("loading torch and transformers ...", err=True)


def _confirm_deletion(folder: Path) -> None:
    if not folder.exists():
        return
    if not sys.stdin.isatty():
        raise InputError(f"{folder}: --fresh deletes this run and there is no terminal to ask on; add --yes")
    if not typer.confirm(f"Delete the run {folder} and start again?"):
        raise InputError(f"{folder}: kept; leave out --fresh to resume it, or choose another --name")


@contextmanager
def _exit_codes(debug: bool) -> Iterator[None]:
    """Turn what a command raises into the exit codes that scripts rely on (docs/design.md)."""
    try:
        yield
    except InputError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        raise typer.Exit(2) from error
    except (KeyboardInterrupt, typer.Abort) as error:
        typer.echo(f"\ninterrupted; resume with: {_resume_command()}", err=True)
        raise typer.Exit(130) from error
    except typer.Exit:
        raise
    except Exception as error:  # the one place that catches everything: the edge of the program
        if debug:
            traceback.print_exc()
        else:
            said = " ".join(str(error).split())
            typer.echo(f"error: {type(error).__name__}: {said} (use --debug for the traceback)", err=True)
        raise typer.Exit(1) from error


def _resume_command() -> str:
    """This very command without what would delete the run."""
    program, *arguments = sys.argv
    start = [sys.executable, "-m", "metis_rise"] if program.endswith("__main__.py") else [program]
    return shlex.join([*start, *(a for a in arguments if a not in ("--fresh", "--yes", "-y"))])
