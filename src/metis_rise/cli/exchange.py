"""Commands that hand problems and trajectories to other tools, and take theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metis_rise.cli.app import Debug, app, exit_codes, say_loading

export = typer.Typer(
    name="export", help="Write what a run made in the form that another tool reads.", no_args_is_help=True
)
app.add_typer(export)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", exists=True, file_okay=False)]


@export.callback()
def _export() -> None:
    """Write what a run made in the form that another tool reads."""


@export.command("sft")
def export_sft(
    run_folder: Run,
    kind: Annotated[
        Literal["trl", "llamafactory", "sharegpt", "parquet"],
        typer.Option(
            "--format",
            help="trl: parquet with prompt, completion and images for TRL's SFTTrainer. llamafactory: its dataset_dir. "
            "sharegpt: conversations as JSONL with a folder of images. parquet: plain columns.",
        ),
    ],
    target: Annotated[
        Path | None, typer.Option("--to", help="New folder; RUN-sft-FORMAT when not given.", show_default=False)
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a run's SFT examples (self-distilled, expert, mastered) with their pictures.

    Example: rise export sft runs/tiny --format llamafactory --to data/tiny
    """
    with exit_codes(debug):
        from metis_rise.exchange import export as exporting

        folder = run_folder.resolve()
        exporting.export_sft(run_folder, kind, target or Path(f"{folder.name}-sft-{kind}"))


@export.command("rl")
def export_rl(
    run_folder: Run,
    kind: Annotated[Literal["verl"], typer.Option("--format", help="verl: parquet for its RL trainers.")] = "verl",
    target: Annotated[
        Path | None, typer.Option("--to", help="New folder; RUN-rl-FORMAT when not given.", show_default=False)
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a run's problems (train, dev, test) with their pictures, for another tool's RL trainer.

    Example: rise export rl runs/tiny --format verl --to data/verl
    """
    with exit_codes(debug):
        say_loading()
        from metis_rise.exchange import verl

        verl.export_verl(run_folder, target or Path(f"{run_folder.resolve().name}-rl-{kind}"))


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Problems as parquet (one file, or a pattern such as 'data/train-*.parquet'), JSON, or a folder saved "
            "by datasets, with the columns of verl, EasyR1, LLaMA-Factory or docs/data.md.",
        ),
    ],
    target: Annotated[Path, typer.Option("--to", help="New folder, for problems.jsonl and images/.")],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used, counted.")] = False,
    debug: Debug = False,
) -> None:
    """Turn another tool's problem file into a JSONL file with a folder of pictures, to look at, mend or mix.

    Recipes read such files as they are, too: problems.train=FILE.parquet.

    Example: rise convert geometry3k/train.parquet --to data/geometry3k
    """
    with exit_codes(debug):
        from metis_rise.exchange import convert as converting

        converting.convert(source, target, skip_bad=skip_bad)


@app.command("import")
def import_(
    run_folder: Run,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help='JSONL: {"problem": id of a training problem, "completion": text}, or an exported sharegpt file.',
            exists=True,
            dir_okay=False,
        ),
    ],
    debug: Debug = False,
) -> None:
    """Verify trajectories made elsewhere and give those that pass to the run's expert stage, which then asks nobody.

    The run must have begun, and its expert stage not be done.

    Example: rise import runs/mine solutions.jsonl
    """
    with exit_codes(debug):
        say_loading()
        from metis_rise.exchange.importing import import_trajectories

        import_trajectories(run_folder, file)
