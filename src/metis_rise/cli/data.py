"""Commands that look at problem files before anything is trained on them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from metis_rise.cli.app import Debug, app, exit_codes
from metis_rise.cli.runs import Overrides

_FAULTY = 2
# More would not fit into a page of 10 MB.
_MOST = 200

data = typer.Typer(name="data", help="Look at a problem file before you train on it.", no_args_is_help=True)
app.add_typer(data)

Problems = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A problem file, or whatever else problems.train may be (docs/data.md).",
        show_default=False,
    ),
]


@data.callback()
def _data() -> None:
    """Look at a problem file before you train on it."""


@data.command("check")
def check(
    path: Problems,
    overrides: Overrides = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="Recipe whose model and pixels token lengths are for.")
    ] = "user_jsonl",
    benchmarks: Annotated[
        Path | None,
        typer.Option(
            "--benchmarks",
            metavar="DIR",
            help="Folder of benchmark data files; without it $LMUData, else ~/LMUData.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Debug = False,
) -> None:
    """Check a problem file: bad rows, answer types, picture sizes, token lengths, duplicates, benchmark leaks.

    A benchmark whose file is not here is not checked, and said so. Exit code 0, or 2 where rows cannot be used or are
    in a benchmark.

    Example: rise data check train.jsonl --recipe qwen2_5_vl_7b --json
    """
    with exit_codes(debug):
        from metis_rise.data import command

        if not command.check(path, recipe, overrides or [], benchmarks, as_json=as_json):
            raise typer.Exit(_FAULTY)


@data.command("preview")
def preview(
    path: Problems,
    target: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="The page; NAME-preview.html when not given.", show_default=False),
    ] = None,
    number: Annotated[int, typer.Option("--number", min=1, max=_MOST, help="How many problems it shows.")] = 60,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which problems are drawn.")] = 0,
    debug: Debug = False,
) -> None:
    """Write an HTML page of some problems with their pictures, options and gold answers, to look at before training.

    Example: rise data preview train.jsonl --number 40
    """
    with exit_codes(debug):
        from metis_rise.data.preview import write_preview

        write_preview(path, target or Path(f"{_title(path)}-preview.html"), number, seed)


def _title(path: Path) -> str:
    """What the files of a problem set are called: without the ending, and without a pattern's signs."""
    whole = path.absolute()
    return re.sub(r"[-_.]?[*?\[].*", "", whole.stem) or whole.parent.name or "problems"
