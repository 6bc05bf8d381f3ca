"""`rise bench data`: recorded trajectories through verdicts, diagnosis, distillation and selection, in one process."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from metis_rise import __version__
from metis_rise.bench.measure import check_memory, forget_peak, peak_resident_mb
from metis_rise.bench.recording import make_problem, make_trajectories
from metis_rise.journal import json_line, stream_jsonl
from metis_rise.problems.dataset import ProblemSets
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import Recipe
from metis_rise.run import Run, append_jsonl, write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages import diagnose, distill
from metis_rise.stages.curriculum import ordered, select
from metis_rise.stages.journals import JOURNAL
from metis_rise.stages.sft import read_pools
from metis_rise.stages.workshop import Workshop, judged
from metis_rise.types import Problem, Trajectory

PROBLEMS, SAMPLES = 10_000, 16
_RECORDING = "recording.jsonl"
# Trajectories per append: a journal is synced with each, and this measures our own work, not the disk.
_APPENDED = 1024
_LONGEST = 256


def run(*, as_json: bool, memory: bool = True, problems: int = PROBLEMS) -> None:
    """Measure and print on standard output; recorded trajectories and the run lie in a temporary folder."""
    if memory:
        check_memory()
    # Stages say on standard output what they did; here it belongs to the result alone.
    with tempfile.TemporaryDirectory(prefix="rise-bench-data-") as folder, redirect_stdout(sys.stderr):
        result = measure(Path(folder), problems, SAMPLES, memory=memory)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    console = Console()
    console.print(_table(result["rows"][0]))
    console.print(", ".join(f"{name} {value}" for name, value in result["environment"].items()), style="dim")


def measure(folder: Path, problems: int, samples: int, *, memory: bool) -> dict[str, Any]:
    """{"environment", "rows"} with one row: seconds and peak of resident memory (MB, imports included) of each part.

    Making the recording is not measured. `ratio` and `spread` are empty: nobody else is measured.
    """
    shop, tokens = _record(folder, problems, samples)
    seconds: dict[str, float] = {}
    peaks: dict[str, float] = {}
    counts: dict[str, Any] = {}
    for name, part in _PARTS.items():
        if memory:
            forget_peak()
        began = time.perf_counter()
        counts[name] = part(shop)
        seconds[name] = round(time.perf_counter() - began, 2)
        if memory:
            peaks[name] = peak_resident_mb()
    seconds["total"] = round(sum(seconds.values()), 2)
    case = {"image_tokens": 0, "completion_tokens": tokens, "group_size": samples, "prompts": problems}
    row = {"case": case, "ratio": {}, "spread": {}, "seconds": seconds, "memory_mb": peaks, "counts": counts}
    environment = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "metis-rise": __version__,
    }
    return {"environment": environment, "rows": [row]}


def _record(folder: Path, problems: int, samples: int) -> tuple[Workshop, int]:
    """A run whose RL is done, its recorded trajectories, and their mean number of tokens."""
    diagnosis = {"samples": samples, "max_samples": samples}
    recipe = Recipe.model_validate({"name": "data", "problems": {"kind": "world"}, "diagnose": diagnosis})
    train, tokens = [make_problem(number) for number in range(problems)], 0
    with (folder / _RECORDING).open("wb") as file:
        for number, problem in enumerate(tqdm(train, desc="recording", unit="problem", leave=False, disable=None)):
            for trajectory in make_trajectories(number, problem, samples):
                tokens += len(trajectory.tokens)
                file.write(json_line(trajectory.to_json()))
    sets = ProblemSets(train, [], [])
    shop = Workshop(recipe, Run(folder), ImageStore(folder / "images"), sets, _LONGEST, None)
    return shop, round(tokens / (problems * samples))


def _verdicts(shop: Workshop) -> dict[str, int]:
    """Judges all that was recorded into diagnosis' journal."""
    problems = {problem.id: problem for problem in shop.sets.train}
    rows = (row for _, row in stream_jsonl(shop.run.path / _RECORDING))
    journal, trajectories = shop.run.stage("diagnose").path / JOURNAL, _judged(problems, rows)
    counts = {"trajectories": 0, "right": 0}
    while batch := list(islice(trajectories, _APPENDED)):
        append_jsonl(journal, [trajectory.to_json() for trajectory in batch])
        counts["trajectories"] += len(batch)
        counts["right"] += sum(trajectory.strict for trajectory in batch)
    return counts


def _judged(problems: dict[str, Problem], rows: Iterator[dict[str, Any]]) -> Iterator[Trajectory]:
    for row in rows:
        trajectory = Trajectory.from_json(row)
        yield judged(problems[trajectory.problem_id], trajectory, "rl")


def _diagnosis(shop: Workshop) -> dict[str, Any]:
    result = diagnose.run(shop)
    shop.run.stage("diagnose").finish({"seconds": 0.0} | result)
    buckets: dict[str, Any] = result["buckets"]
    return buckets


def _distillation(shop: Workshop) -> dict[str, Any]:
    result = distill.run(shop)
    shop.run.stage("distill").finish({"seconds": 0.0} | result)
    return {"kept": result["counts"]["kept"], "replay": result["counts"]["replay"], **result["dropped"]}


def _selection(shop: Workshop) -> dict[str, int]:
    """What each curriculum stage would be trained on, in its order; there is no expert here."""
    write_jsonl(shop.run.stage("expert").path / JOURNAL, ())
    found, chosen = read_pools(shop), {}
    for number, config in enumerate(shop.recipe.sft.stages):
        taught, replay = select(config, found, derive(shop.seed, "sft", number))
        chosen[config.name] = len(ordered(config, taught, replay, derive(shop.seed, "order", number)))
    return chosen


_PARTS: dict[str, Callable[[Workshop], dict[str, Any]]] = {
    "verdicts": _verdicts,
    "diagnosis": _diagnosis,
    "distillation": _distillation,
    "selection": _selection,
}


def _table(row: dict[str, Any]) -> Table:
    case = row["case"]
    size = f"{case['prompts']} problems x {case['group_size']} trajectories of {case['completion_tokens']} tokens"
    out = Table(title=f"data: {size}")
    for heading in ("part", "seconds", "peak memory", "counts"):
        out.add_column(heading, justify="right" if heading in ("seconds", "peak memory") else "left")
    for name, seconds in row["seconds"].items():
        peak = f"{row['memory_mb'][name]:.0f} MB" if name in row["memory_mb"] else ""
        counts = ", ".join(f"{count} {what}" for what, count in row["counts"].get(name, {}).items())
        out.add_row(name, f"{seconds:.1f}", peak, counts)
    return out
