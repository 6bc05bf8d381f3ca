"""`rise eval MODEL --benchmark ...`: models answer benchmarks, and what came out is printed."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import torch
import typer
from rich.console import Console

from metis_rise.benchmarks.base import Benchmark, Protocol, Style
from metis_rise.benchmarks.choice import chosen, mean_of_six, why_no_mean
from metis_rise.benchmarks.data import Data, load
from metis_rise.benchmarks.evaluation_folder import JUDGE_JOURNAL
from metis_rise.benchmarks.result import Result
from metis_rise.benchmarks.scoring import has_own_rules
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError
from metis_rise.evaluation.asking import AUTO, system_text
from metis_rise.evaluation.board.cells import one_decimal
from metis_rise.evaluation.folder import free
from metis_rise.evaluation.judging import Judge
from metis_rise.evaluation.judging_questions import check_judged
from metis_rise.evaluation.options import Options
from metis_rise.evaluation.runner import Evaluation, Scoring, settings
from metis_rise.evaluation.samplers import NativeSampler, Sampler
from metis_rise.evaluation.served import ServedSampler, addresses
from metis_rise.evaluation.show import show_result
from metis_rise.evaluation.targets import Target, targets
from metis_rise.lock import locked
from metis_rise.policy.loading import find_folder
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import PROMPT_FILE
from metis_rise.terminal import say

Files = Mapping[Benchmark, Path | None]
"""Which benchmarks, and the data file of each."""

Rows = Mapping[str, Mapping[str, Any]]
"""What the score.json of each benchmark holds, by the benchmark's name."""


def evaluate_model(
    model: str, benchmarks: str, data: Path | None, options: Options, *, threads: int, as_json: bool
) -> None:
    """Evaluates what `model` names on `benchmarks` ("all", or names joined by commas) and prints the scores.

    Args:
        model: `tiny`, a folder, a hub id, a run folder, or with servers a name that they know.
        benchmarks: see above.
        data: the data file, or the folder that it is in.
        options: how the model is asked and judged.
        threads: CPU threads; 0 takes all cores.
        as_json: print one JSON object instead of tables.

    Raises:
        InputError: one line that names what is wrong; what is answered by then is kept.
    """
    torch.set_num_threads(threads or os.cpu_count() or 1)
    files = chosen(benchmarks.split(","), data)
    _check_protocol(files, options.protocol)
    console = None if as_json else Console()
    known: dict[str, Data] = {}
    models: dict[str, Rows] = {}
    for target in targets(model, options):
        rows = {}
        folder = target.out
        for out, result in evaluated(target, files, known):
            folder = out
            rows[result.benchmark.name] = result.to_json()
            if console is not None:
                show_result(result, console)
        models[target.arm or target.name] = rows
        if console is not None:
            _show_end(target.name, folder, rows, console)
    if as_json:
        typer.echo(json.dumps(_as_one(model, models, len(files)), ensure_ascii=False, allow_nan=False))


def evaluated(
    target: Target, files: Files, known: dict[str, Data], opened: Callable[[Target], Sampler] | None = None
) -> Iterator[tuple[Path, Result]]:
    """The result of one model on each benchmark, as they are done, and the folder that it is in.

    `known` keeps the data for models that are evaluated after it, whose pictures are in the same folder.
    """
    options = target.options
    with ExitStack() as stack:
        sampler = stack.enter_context(closing((opened or open_sampler)(target)))
        out = free(target.out, settings(sampler, target.model), _note) if target.movable else target.out
        stack.enter_context(locked(out, "choose another --out"))
        judge = None
        if options.judge is not None:
            judge = stack.enter_context(closing(Judge(options.judge, out / JUDGE_JOURNAL, _note)))
        evaluation = Evaluation(target.name, out, sampler, Scoring(options.protocol, judge))
        evaluation.claim(target.model)
        for benchmark, file in files.items():
            if benchmark.name not in known:
                known[benchmark.name] = load(benchmark, file, ImageStore(target.images), options.limit)
            yield out, evaluation.run(benchmark, known[benchmark.name])
    # A model hangs in reference cycles; the next one needs its memory.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def open_sampler(target: Target) -> Sampler:
    """Who answers for a model: this process, or the servers that the options name.

    Raises:
        InputError: no such model, or a server without it.
    """
    options, store = target.options, ImageStore(target.images)
    if options.servers is not None:
        if options.system == AUTO and options.style is Style.RISE and not (Path(target.model) / PROMPT_FILE).is_file():
            _note(f"what system prompt {target.model} was trained with is not known here: ours is sent (see --system)")
        asking = options.asking(system_text(options.system, options.style, Path(target.model)))
        settings = ServerSettings(addresses(options.servers), options.concurrency, api_key_env=options.key_env)
        return ServedSampler(target.model, settings, asking, store, _note)
    folder = find_folder(target.model)
    asking = options.asking(system_text(options.system, options.style, folder))
    return NativeSampler(folder, asking, store, options.dtype or AUTO, options.batch_tokens)


def _check_protocol(files: Files, protocol: Protocol) -> None:
    """InputError for a benchmark that cannot be judged so; said before anything is answered."""
    for benchmark in files:
        if protocol is Protocol.OFFICIAL and not has_own_rules(benchmark):
            raise InputError(
                f"{benchmark.title}: its authors take answers out of texts with a model, so there is no official "
                "protocol for raw answers; use --protocol rule or judge"
            )
        if protocol is Protocol.JUDGE:
            check_judged(benchmark)


def _note(text: str) -> None:
    say(f"warning: {text}", warning=True, aside=True)


def _show_end(name: str, out: Path, rows: Rows, console: Console) -> None:
    """The mean where six benchmarks were asked for, and where everything lies."""
    if len(rows) > 1:
        mean = mean_of_six(rows)
        said = f"not given: {why_no_mean(rows)}" if mean is None else one_decimal(mean)
        console.print(f"mean of six: {said}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{name}: in {out}", markup=False, highlight=False, soft_wrap=True)


def _as_one(model: str, models: Mapping[str, Rows], benchmarks: int) -> Mapping[str, Any]:
    """One benchmark of one model as it is; several by name with their mean; those of a run's models by arm."""
    each = {name: _of_model(rows, benchmarks) for name, rows in models.items()}
    return {"run": model, "models": each} if len(each) > 1 else next(iter(each.values()))


def _of_model(rows: Rows, benchmarks: int) -> Mapping[str, Any]:
    if benchmarks == 1:
        return next(iter(rows.values()))
    model = next(iter(rows.values()))["model"]
    return {"model": model, "benchmarks": dict(rows), "mean": mean_of_six(rows), "no_mean": why_no_mean(rows)}
