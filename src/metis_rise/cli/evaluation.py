"""`rise eval`: a model on benchmarks, a file of predictions, or stage 6 of a recipe."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import typer

from metis_rise.cli.app import Debug, Quiet, app, exit_codes, say_loading
from metis_rise.cli.runs import Name, Nproc, Overrides, Root, SkipBad, do_stage
from metis_rise.errors import InputError

# Options of each form of the command; one that is given with another form is refused, not ignored.
_BOTH = {"benchmark", "data", "limit", "protocol", "judge_url", "judge_model", "judge_key_env", "judge_concurrency"}
_BOTH |= {"as_json", "debug"}
_SCORE = {"score", "verdicts", *_BOTH}
_RECIPE = {"target", "overrides", "name", "root", "skip_bad", "nproc", "quiet", "as_json", "debug"}
_ASKING = {
    "style",
    "system",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "samples",
    "seed",
    "min_pixels",
    "max_pixels",
}
_ENGINE = {"dtype", "batch_tokens", "threads", "server", "key_env", "concurrency"}
_MODEL = {"target", "out", *_ASKING, *_ENGINE, *_BOTH}


@app.command("eval")
def evaluate(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL|RECIPE",
            help="With --benchmark a model: `tiny`, a folder, a hub id, a run folder (its base, RL and RISE models), "
            "or with --server a name that the server knows. Without, a recipe.",
        ),
    ] = None,
    overrides: Overrides = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmark",
            "-b",
            metavar="NAME[,NAME]|all",
            help="mathvista, mathvision, mathverse, dynamath, wemath, logicvista (all: these six); world (the tiny "
            "recipe's test problems), jsonl (a problem file of your own).",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE|DIR",
            help="Data file in VLMEvalKit's layout or the authors' own, or the folder it is in.",
            show_default="$LMUData, else ~/LMUData",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="The first N whole groups of each benchmark.")
    ] = None,
    protocol: Annotated[
        Literal["rule", "official", "judge"],
        typer.Option("--protocol", help="Who judges: our rules, the authors' own, or a model behind --judge-url."),
    ] = "rule",
    score: Annotated[
        Path | None,
        typer.Option("--score", metavar="FILE", help="Score these predictions; no model is loaded.", dir_okay=False),
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", metavar="FILE", help="With --score: a JSONL file for all verdicts.")
    ] = None,
    style: Annotated[
        Literal["rise", "vlmevalkit"],
        typer.Option("--style", help="rise: our system prompt and the bare question. vlmevalkit: the data set's text."),
    ] = "rise",
    system: Annotated[
        str,
        typer.Option(
            "--system",
            help="System prompt: auto (style rise: what the model was trained with, else rise; vlmevalkit: none), "
            "rise, none, or a text file.",
        ),
    ] = "auto",
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, help="Longest answer in tokens.", show_default="2048, or the run's"),
    ] = None,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 takes the likeliest answer.")] = 0.0,
    top_p: Annotated[float, typer.Option("--top-p", min=0.01, max=1.0, help="Nucleus sampling; 1 keeps all.")] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="Sample among the k likeliest; 0: all.")] = 0,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Answers per item; scores are then means.")] = 1,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the draws.", show_default="0, or the run's")
    ] = None,
    min_pixels: Annotated[
        int | None, typer.Option("--min-pixels", min=1, help="Smallest picture area.", show_default="the model's")
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option("--max-pixels", min=1, help="Largest picture area.", show_default="the model's")
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(
            "--dtype", help="Number format.", show_default="the run's, else bfloat16 on GPUs and float32 without"
        ),
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option("--batch-tokens", min=1, help="Prompt and answer tokens computed on at once.")
    ] = 32768,
    threads: Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 takes all cores.")] = 0,
    server: Annotated[
        str | None,
        typer.Option("--server", metavar="URL[,URL]", help="Ask MODEL behind these OpenAI-compatible chat APIs."),
    ] = None,
    key_env: Annotated[str, typer.Option("--key-env", help="Variable that holds the servers' key.")] = "",
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Calls in flight per server.")] = 32,
    judge_url: Annotated[str | None, typer.Option("--judge-url", help="API of the judge, ending in /v1.")] = None,
    judge_model: Annotated[str | None, typer.Option("--judge-model", help="The judge's name there.")] = None,
    judge_key_env: Annotated[str, typer.Option("--judge-key-env", help="Variable that holds the judge's key.")] = "",
    judge_concurrency: Annotated[
        int, typer.Option("--judge-concurrency", min=1, help="Questions to the judge in flight.")
    ] = 32,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder of the evaluation.", show_default="evals/MODEL, or RUN/benchmarks"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    name: Name = None,
    root: Root = Path("runs"),
    skip_bad: SkipBad = False,
    nproc: Nproc = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score models on benchmarks, score predictions made elsewhere, or do stage 6 of a recipe.

    MODEL --benchmark: the model answers, and is scored. Every answer is kept as it comes; the same command goes on
    after an interruption.

    Example: rise eval tiny --benchmark all --data LMUData --limit 20

    Example: rise eval runs/mine -b mathvista,wemath

    Example: rise eval my-model -b dynamath --server http://host:8000

    --score: predictions in VLMEvalKit's layout, or the authors' own result files.

    Example: rise eval --score Model_MathVista_MINI.tsv --benchmark mathvista

    RECIPE: stage 6, the base, RL and RISE models on the test problems, greedy and sampled; the stages before it must
    be done.

    Example: rise eval tiny --name mine
    """
    given = {key for key in context.params if _was_given(context, key)}
    with exit_codes(debug, quiet=quiet, as_json=as_json):
        _refuse_others(context, given, scores=score is not None, asks=benchmark is not None)
        if score is None and benchmark is None:
            if target is None:
                raise InputError("give a recipe, a model with --benchmark, or predictions with --score; see --help")
            do_stage("evaluate", target, overrides, name, root, skip_bad, nproc, as_json)
            return
        from metis_rise.benchmarks.base import Protocol, Style
        from metis_rise.evaluation.judge_flags import flagged_judge

        if benchmark is None:
            raise InputError(f"--score {score}: add --benchmark, the name of the benchmark that it answers")
        judge = flagged_judge(Protocol(protocol), judge_url, judge_model, judge_key_env, judge_concurrency)
        if score is not None:
            from metis_rise.evaluation.score_command import score_predictions

            # A file of verdicts without answers has no protocol, unless one is asked for by name.
            wanted = Protocol(protocol) if "protocol" in given else None
            score_predictions(score, benchmark, data, wanted, judge, limit, verdicts, as_json=as_json)
            return
        if target is None:
            raise InputError(f"--benchmark {benchmark}: name a model before it, or predictions with --score")
        say_loading()
        from metis_rise.evaluation.command import evaluate_model
        from metis_rise.evaluation.options import Options

        options = Options(
            style=Style(style),
            system=None if system == "none" else system,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            samples=samples,
            seed=seed,
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            dtype=dtype,
            servers=server,
            key_env=key_env,
            concurrency=concurrency,
            batch_tokens=batch_tokens,
            limit=limit,
            protocol=Protocol(protocol),
            judge=judge,
            out=out,
        )
        evaluate_model(target, benchmark, data, options, threads=threads, as_json=as_json)


def _was_given(context: typer.Context, key: str) -> bool:
    source = context.get_parameter_source(key)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_others(context: typer.Context, given: Collection[str], *, scores: bool, asks: bool) -> None:
    """InputError for an option of another form of the command, which this form would ignore."""
    allowed, does = (_RECIPE, "does stage 6 of a recipe, since it has no --benchmark")
    if scores:
        allowed, does = _SCORE, "scores predictions (--score)"
    elif asks:
        allowed, does = _MODEL, "asks a model (--benchmark)"
    for parameter in context.command.params:
        if parameter.name in given and parameter.name not in allowed:
            said = parameter.opts[0] if parameter.opts[0].startswith("-") else "KEY=VALUE"
            raise InputError(
                f"{said}: this command {does}; leave it out, or see rise eval --help for what it goes with"
            )
