"""The order of the stages: skip what is done, resume what is not, and say what came out."""

from __future__ import annotations

import gc
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from metis_rise.opening import open_workshop
from metis_rise.recipe import Recipe
from metis_rise.report.html import write_report
from metis_rise.report.terminal import print_report
from metis_rise.run import write_atomic
from metis_rise.stages import diagnose, distill, evaluate, expert, rl, sft
from metis_rise.stages.serving import drop_served
from metis_rise.stages.workshop import Workshop

STAGES: dict[str, Callable[[Workshop], dict[str, Any]]] = {
    "rl": rl.run,
    "diagnose": diagnose.run,
    "distill": distill.run,
    "expert": expert.run,
    "sft": sft.run,
    "evaluate": evaluate.run,
}


def run(recipe: Recipe, root: Path, name: str, fresh: bool = False) -> Path:
    """Runs all stages that are not done yet and writes the report; returns the run's folder."""
    shop = open_workshop(recipe, root, name, fresh)
    for stage in STAGES:
        _do(shop, stage)
    _conclude(shop)
    return shop.run.path


def run_stage(recipe: Recipe, root: Path, name: str, stage: str) -> Path:
    """Runs one stage; InputError when an earlier one is not done."""
    shop = open_workshop(recipe, root, name)
    shop.run.require_earlier(stage)
    _do(shop, stage)
    _conclude(shop)
    return shop.run.path


def report(run_folder: Path) -> None:
    """Writes report.html anew from what the run folder holds and prints its tables."""
    page = write_report(run_folder)
    console = Console()
    print_report(run_folder, console)
    console.print(f"report: {page}")


def _do(shop: Workshop, name: str) -> None:
    stage = shop.run.stage(name)
    if stage.done:
        shop.run.log(f"{stage.name}: done before, {stage.result()['seconds']:.0f} s")
        return
    start = time.monotonic()
    result = STAGES[name](shop)
    # A stage's model and optimizer hang in reference cycles; the next stage needs their memory.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    drop_served(shop.run)
    result = {"seconds": time.monotonic() - start} | result
    seconds = result["seconds"]
    stage.finish(result)
    shop.run.event("stage", stage=name, seconds=seconds)
    shop.run.log(f"{stage.name}: {seconds:.0f} s, {_sentence(result)}")
    write_report(shop.run.path)


def _sentence(result: dict[str, Any]) -> str:
    said = [f"{number} {what}" for what, number in {**result["counts"], **result.get("buckets", {})}.items()]
    dropped = [f"{number} {reason}" for reason, number in result["dropped"].items() if number]
    return ", ".join(said) + (f"; dropped: {', '.join(dropped)}" if dropped else "")


def _conclude(shop: Workshop) -> None:
    done = {name: shop.run.stage(name).result() for name in STAGES if shop.run.stage(name).done}
    file = shop.run.path / "summary.json"
    before = json.loads(file.read_text(encoding="utf-8"))["peak_memory_mb"] if file.exists() else 0.0
    peak = max(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    summary = {
        "recipe": shop.recipe.name,
        "arms": done.get("evaluate", {}).get("arms", {}),
        "seconds": {name: result["seconds"] for name, result in done.items()},
        "peak_memory_mb": peak,
    }
    write_atomic(file, json.dumps(summary, indent=1) + "\n")
    page = write_report(shop.run.path)
    print_report(shop.run.path, Console())
    shop.run.log(f"report: {page}")
