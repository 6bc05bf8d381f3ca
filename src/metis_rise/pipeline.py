"""The order of the stages: skip what is done, resume what is not, and say what came out."""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from metis_rise import __version__
from metis_rise.problems.dataset import SPLITS, ProblemSets, make_sets
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import dump_problems, load_problems
from metis_rise.recipe import Recipe, resolved
from metis_rise.report.html import write_report
from metis_rise.report.terminal import print_report
from metis_rise.run import Run, write_atomic
from metis_rise.stages import diagnose, distill, evaluate, expert, rl, sft
from metis_rise.stages.lengths import fit_max_tokens
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


def report(run_folder: Path) -> Path:
    """Writes report.html anew from what the run folder holds; returns its path."""
    return write_report(run_folder)


def open_workshop(recipe: Recipe, root: Path, name: str, fresh: bool = False) -> Workshop:
    """The run's folder with its problems in it, created or taken up again."""
    torch.set_num_threads(recipe.threads or os.cpu_count() or 1)
    torch.manual_seed(recipe.seed)
    run = Run.open(root, name, resolved(recipe), fresh=fresh)
    store = ImageStore(run.path / "images")
    sets = _problems(recipe, run, store)
    max_tokens = fit_max_tokens(recipe, sets.train)
    run.event("start", environment=_environment(), max_tokens=max_tokens)
    return Workshop(recipe, run, store, sets, max_tokens)


def _problems(recipe: Recipe, run: Run, store: ImageStore) -> ProblemSets:
    """The problems as they were when the run began; a later change of the source does not reach a run under way."""
    files = {split: run.path / "problems" / f"{split}.jsonl" for split in SPLITS}
    if not all(file.exists() for file in files.values()):
        made = make_sets(recipe.problems, recipe.seed, store)
        for split, problems in made.named().items():
            dump_problems(problems, files[split])
    sets = ProblemSets(*(load_problems(files[split]) for split in SPLITS))
    counts = ", ".join(f"{len(problems)} {split}" for split, problems in sets.named().items())
    run.log(f"{run.path}: {counts} problems")
    return sets


def _do(shop: Workshop, name: str) -> None:
    stage = shop.run.stage(name)
    if stage.done:
        shop.run.log(f"{stage.name}: done before, {stage.result()['seconds']:.0f} s")
        return
    start = time.monotonic()
    result = STAGES[name](shop)
    seconds = time.monotonic() - start
    stage.finish({"seconds": seconds} | result)
    shop.run.event("stage", stage=name, seconds=seconds)
    shop.run.log(f"{stage.name}: {seconds:.0f} s, {_sentence(result)}")
    write_report(shop.run.path)


def _sentence(result: dict[str, Any]) -> str:
    said = [f"{number} {what}" for what, number in {**result["counts"], **result.get("buckets", {})}.items()]
    dropped = [f"{number} {reason}" for reason, number in result["dropped"].items()]
    return ", ".join(said) + (f"; dropped: {', '.join(dropped)}" if dropped else "")


def _conclude(shop: Workshop) -> None:
    done = {name: shop.run.stage(name).result() for name in STAGES if shop.run.stage(name).done}
    summary = {
        "recipe": shop.recipe.name,
        "arms": done.get("evaluate", {}).get("arms", {}),
        "seconds": {name: result["seconds"] for name, result in done.items()},
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    write_atomic(shop.run.path / "summary.json", json.dumps(summary, indent=1) + "\n")
    page = write_report(shop.run.path)
    print_report(shop.run.path, Console())
    shop.run.log(f"report: {page}")


def _environment() -> dict[str, Any]:
    packages = {package: version(package) for package in ("torch", "transformers")}
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "packages": {"metis-rise": __version__} | packages,
    }
