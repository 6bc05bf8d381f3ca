"""The command that writes a recipe of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metis_rise.cli.app import Debug, app, exit_codes


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new recipe, NAME.yaml.")] = Path("mine.yaml"),
    model: Annotated[
        str | None, typer.Option("--model", help="A model folder, a hub id, or `tiny`.", show_default="asked for")
    ] = None,
    train: Annotated[
        str | None, typer.Option("--train", help="File of training problems.", show_default="asked for")
    ] = None,
    test: Annotated[str | None, typer.Option("--test", help="File of test problems.", show_default="asked for")] = None,
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters instead of all weights.")] = False,
    debug: Debug = False,
) -> None:
    """Write a commented recipe for a model and problem files of your own; asks for what is not given.

    It starts from the shipped recipe for models of that kind and size. A file that exists is never overwritten.

    Example: rise init mine.yaml --model Qwen/Qwen2.5-VL-7B-Instruct --train train.jsonl --test test.jsonl
    """
    with exit_codes(debug):
        from metis_rise.starter import command

        command.init(file, model, train, test, lora)
