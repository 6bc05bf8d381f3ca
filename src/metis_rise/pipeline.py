"""The order of the stages: skip what is done, resume what is not, and say what came out."""

from __future__ import annotations

import gc
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from metis_rise.attempt import recorded
from metis_rise.evaluation import stage as benchmarks
from metis_rise.evaluation.card import write_cards
from metis_rise.journal import parse_object
from metis_rise.lock import locked
from metis_rise.opening import look_at_workshop, open_workshop
from metis_rise.recipe import Recipe
from metis_rise.report.html import refresh_report, write_report
from metis_rise.report.terminal import print_report
from metis_rise.run import Run, check_name, round_name, write_atomic
from metis_rise.stages import diagnose, distill, evaluate, expert, rl, sft
from metis_rise.stages.experts.plan_table import print_plan
from metis_rise.stages.experts.session import check_keys
from metis_rise.stages.serving import drop_served
from metis_rise.stages.team.joining import led
from metis_rise.stages.team.leading import Team
from metis_rise.stages.workshop import Workshop
from metis_rise.terminal import stage_view, table_console
from metis_rise.tracking import check_trackers, tracked

EVALUATE = "evaluate"
STAGES: dict[str, Callable[[Workshop], dict[str, Any]]] = {
    "rl": rl.run,
    "diagnose": diagnose.run,
    "distill": distill.run,
    "expert": expert.run,
    "sft": sft.run,
    EVALUATE: evaluate.run,
}
ROUND_STAGES = tuple(stage for stage in STAGES if stage != EVALUATE)


def run(recipe: Recipe, root: Path, name: str, fresh: bool = False, source: Path | None = None) -> Path:
    """Runs all stages that are not done yet, round by round, and writes the report; returns the run's folder.

    A new run takes over the finished stages of the run in `source` that its recipe shares.
    """
    return _led(recipe, root, name, _run, fresh, source)


def train(recipe: Recipe, root: Path, name: str, last: str, source: Path | None = None) -> Path:
    """Runs all stages up to `last` of the last round; nothing is scored on test problems. Returns the run's folder.

    A new run takes over the finished stages of the run in `source` that its recipe shares.
    """

    def work(shop: Workshop) -> None:
        rounds = _rounds(shop)
        ending = ROUND_STAGES[: ROUND_STAGES.index(last) + 1]
        if "expert" in ending and not rounds[-1].run.is_done("expert"):
            check_keys(shop.recipe.expert)
        for turn in rounds:
            for stage in ROUND_STAGES if turn is not rounds[-1] else ending:
                _do(turn, stage)

    return _led(recipe, root, name, work, source=source)


def _led(
    recipe: Recipe,
    root: Path,
    name: str,
    work: Callable[[Workshop], None],
    fresh: bool = False,
    source: Path | None = None,
) -> Path:
    """Does `work` in the run's folder, alone there; of several processes only the leader touches it."""
    check_name(name)
    check_trackers(recipe.tracking)
    path = root / name

    def lead(team: Team | None) -> None:
        with recorded() as begin, locked(path, "choose another --name"):
            shop = open_workshop(recipe, root, name, fresh, source)
            begin(path)
            with tracked(recipe.tracking, shop.run):
                work(replace(shop, team=team))

    led(recipe, lead)
    return path


def _run(shop: Workshop) -> None:
    rounds = _rounds(shop)
    if not rounds[-1].run.is_done("expert"):
        check_keys(shop.recipe.expert)
    for turn in rounds:
        for stage in ROUND_STAGES:
            _do(turn, stage)
    _do(shop, EVALUATE)
    benchmarks.run(shop)
    _conclude(shop)


def run_stage(recipe: Recipe, root: Path, name: str, stage: str) -> Path:
    """Runs one stage, of the first round that has not done it; InputError when an earlier one is not done."""
    return _led(recipe, root, name, lambda shop: _run_stage(shop, stage))


def _run_stage(shop: Workshop, stage: str) -> None:
    rounds = _rounds(shop)
    if stage == EVALUATE:
        _require(rounds, stage)
        _do(shop, stage)
        benchmarks.run(shop)
    else:
        turn = next((turn for turn in rounds if not turn.run.is_done(stage)), rounds[-1])
        _require(rounds[: turn.run.number], stage)
        _do(turn, stage)
    _conclude(shop)


def dry_run_expert(recipe: Recipe, root: Path, name: str) -> None:
    """Prints what the expert stage of the first round that has not done it would ask and cost; nobody is asked."""
    with look_at_workshop(recipe, root, name) as shop:
        rounds = _rounds(shop)
        turn = next((turn for turn in rounds if not turn.run.is_done("expert")), rounds[-1])
        print_plan(expert.plan(turn), Console())


def _rounds(shop: Workshop) -> list[Workshop]:
    return [shop.in_round(number + 1) for number in range(shop.recipe.rounds)]


def _require(rounds: Sequence[Workshop], stage: str) -> None:
    """InputError unless all that comes before `stage` of the last of `rounds` is done."""
    asked = "eval" if stage == EVALUATE else f"{stage} of {round_name(rounds[-1].run.number)}"
    for turn in rounds[:-1]:
        turn.run.require_earlier(EVALUATE, asked)
    rounds[-1].run.require_earlier(stage)


def report(run_folder: Path) -> None:
    """Writes report.html anew from what the run folder holds and prints its tables."""
    page = write_report(run_folder)
    console = Console()
    print_report(run_folder, console)
    console.print(f"report: {page}")


def _do(shop: Workshop, name: str) -> None:
    stage, number = shop.run.stage(name), shop.run.number
    title = stage.name if number == 1 else f"{round_name(number)}/{stage.name}"
    if stage.done:
        seconds = stage.result()["seconds"]
        shop.run.log(f"{title}: done before, {seconds:.0f} s")
        if not _noted(shop.run, name, title):
            _note(shop.run, name, seconds)
        return
    start = time.monotonic()
    with stage_view(f"{shop.run.path.name}: stage {stage.name[0]} of {len(STAGES)}, {title}"):
        result = STAGES[name](shop)
    # A stage's model and optimizer hang in reference cycles; the next stage needs their memory.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    drop_served(shop.run)
    result = {"seconds": time.monotonic() - start} | result
    seconds = result["seconds"]
    stage.finish(result)
    _note(shop.run, name, seconds)
    shop.run.log(f"{title}: {seconds:.0f} s, {_sentence(result)}")
    refresh_report(shop.run)


def _note(run: Run, name: str, seconds: float) -> None:
    run.event("stage", stage=name, round=run.number, seconds=seconds)


def _noted(run: Run, name: str, title: str) -> bool:
    """Whether the manifest has a finished stage, which a kill may have left out, or had it from another run."""
    done = any((row["stage"], row.get("round", 1)) == (name, run.number) for row in run.events("stage"))
    return done or any(title in row["stages"] for row in run.events("fork"))


def _sentence(result: dict[str, Any]) -> str:
    said = [f"{number} {what}" for what, number in {**result["counts"], **result.get("buckets", {})}.items()]
    dropped = [f"{number} {reason}" for reason, number in result["dropped"].items() if number]
    return ", ".join(said) + (f"; dropped: {', '.join(dropped)}" if dropped else "")


def _conclude(shop: Workshop) -> None:
    done = dict(_done(shop))
    file = shop.run.path / "summary.json"
    peak = max(_peak_before(shop.run, file), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    summary = {
        "recipe": shop.recipe.name,
        "arms": done.get(EVALUATE, {}).get("arms", {}),
        "seconds": {name: result["seconds"] for name, result in done.items()},
        "peak_memory_mb": peak,
    }
    write_atomic(file, json.dumps(summary, indent=1) + "\n")
    with shop.run.spared("the models have no new cards"):
        write_cards(shop.run.path)
    with shop.run.spared("there is no new report"):
        page = write_report(shop.run.path)
        print_report(shop.run.path, table_console())
        shop.run.log(f"report: {page}")


def _peak_before(run: Run, file: Path) -> float:
    """MB that attempts before this one have used, by the summary; 0 without one."""
    if not file.exists():
        return 0.0
    found = (parse_object(file.read_bytes()) or {}).get("peak_memory_mb")
    if not isinstance(found, int | float) or isinstance(found, bool):
        run.warn(f"{file.name}: was damaged, and is written anew; the memory that earlier attempts used is not in it")
        return 0.0
    return float(found)


def _done(shop: Workshop) -> Iterator[tuple[str, dict[str, Any]]]:
    """The results of all finished stages by name, those of later rounds as "round-2/rl"."""
    for turn in _rounds(shop):
        number = turn.run.number
        for name in ROUND_STAGES if number > 1 else STAGES:
            if turn.run.is_done(name):
                yield name if number == 1 else f"{round_name(number)}/{name}", turn.run.stage(name).result()
