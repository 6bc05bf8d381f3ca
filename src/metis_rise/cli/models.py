"""Commands on one model: ask it, serve it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from metis_rise.cli.app import Debug, app, exit_codes, say_loading


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
    with exit_codes(debug):
        say_loading()
        from metis_rise.ask import ask_and_show

        ask_and_show(model, image, question, max_tokens, temperature, None if system == "none" else system, dtype)


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
    with exit_codes(debug):
        say_loading()
        from metis_rise.engines.server import launch

        options = launch.ServeOptions(
            model, host, port, gpus, max_model_len, max_num_seqs, dtype, python, tuple(more or ())
        )
        raise typer.Exit(launch.serve(options))
