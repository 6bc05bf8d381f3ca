"""Commands that measure: the verifier on labelled pairs, speed against others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from metis_rise.cli.app import Debug, app, exit_codes, say_loading
from metis_rise.errors import InputError


@app.command()
def verify(
    pairs: Annotated[
        Path | None,
        typer.Argument(
            metavar="PAIRS",
            help="A JSONL file of labelled pairs: gold, prediction, should_match; if you like id, kind, answer_type, "
            "choices, question.",
        ),
    ] = None,
    gold: Annotated[str | None, typer.Option("--gold", help="Without a file: a gold answer.")] = None,
    prediction: Annotated[str | None, typer.Option("--prediction", help="What a model wrote.")] = None,
    answer_type: Annotated[
        str | None,
        typer.Option("--type", help="choice, number or text (or an alias); else the gold answer decides."),
    ] = None,
    choice: Annotated[list[str] | None, typer.Option("--choice", help="An option's text; repeat it, A first.")] = None,
    question: Annotated[
        str, typer.Option("--question", help="The question, so that an answer that only repeats it is seen.")
    ] = "",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Judge as rewards do: the answer must also have the format that RISE teaches."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Of a file: print JSON instead of tables.")] = False,
    debug: Debug = False,
) -> None:
    """Judge labelled pairs of answers and print where the verifier differs, or explain one verdict.

    Example: rise verify pairs.jsonl

    Example: rise verify --gold 1/2 --prediction "The answer is 0.5"
    """
    with exit_codes(debug):
        one = {"--gold": gold, "--prediction": prediction}
        details = {"--type": answer_type, "--choice": choice, "--question": question}
        from metis_rise.verify import command

        if pairs is not None:
            if extra := [name for name, value in (one | details).items() if value]:
                raise InputError(f"{extra[0]} is for one pair and {pairs} is a file of them; leave one of the two out")
            command.verify_file(pairs, strict=strict, as_json=as_json)
            return
        if gold is None or prediction is None:
            raise InputError("give a file of pairs, or both --gold and --prediction")
        if as_json:
            raise InputError("--json is for a file of pairs; leave it out")
        command.verify_one(gold, prediction, answer_type, choice or (), question, strict=strict)


@app.command()
def bench(
    kind: Annotated[
        Literal["rollout", "update", "sft", "step", "data", "verify"],
        typer.Argument(metavar="rollout|update|sft|step|data|verify", help="What to measure."),
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

    `data` measures the way of 160,000 recorded trajectories to the examples of fine-tuning, with no peer; `verify`
    measures verdicts against math-verify.

    Example: rise bench update --json
    """
    with exit_codes(debug):
        say_loading()
        from metis_rise.bench import command, data, verify
        from metis_rise.bench.options import Options, check_options

        options = Options(everything, ragged, against, vllm_python, threads, memory)
        if kind == "data":
            check_options(kind, options)
            data.run(as_json=as_json, memory=options.measures_memory(kind))
        elif kind == "verify":
            check_options(kind, options)
            verify.run(as_json=as_json)
        else:
            command.run(kind, options, as_json=as_json)
