"""Seconds from interleaved rounds in one process, and the peak of memory from a fresh process per arm."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from metis_rise.bench.cases import OURS, Arms, Case, Kind, Workbench
from metis_rise.bench.rollout import rollout_arms
from metis_rise.bench.update import update_arms
from metis_rise.errors import InputError

ARMS: dict[Kind, Callable[[Workbench, Case], Arms]] = {"rollout": rollout_arms, "update": update_arms}
Ratios = dict[str, list[float]]


def interleaved_ratios(arms: Arms, rounds: int, tick: Callable[[], object]) -> Ratios:
    """Per peer and round its seconds over ours in that round, after one warm-up of every arm.

    All arms run in every round, the first one changing, so that a machine that slows down meets all of them. `tick`
    is called after each run.
    """
    names = list(arms)
    for name in names:
        arms[name]()
        tick()
    ratios: Ratios = {name: [] for name in names if name != OURS}
    for turn in range(1, rounds + 1):
        seconds: dict[str, float] = {}
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            gc.collect()
            start = time.perf_counter()
            arms[name]()
            seconds[name] = time.perf_counter() - start
            tick()
        for name, values in ratios.items():
            values.append(seconds[name] / seconds[OURS])
    return ratios


def summary(ratios: Ratios) -> dict[str, dict[str, object]]:
    """The entries `ratio` (the median over rounds) and `spread` ([least, greatest]) of a row."""
    return {
        "ratio": {name: round(median(values), 3) for name, values in ratios.items()},
        "spread": {name: [round(min(values), 3), round(max(values), 3)] for name, values in ratios.items()},
    }


def peak_memory_mb(kind: Kind, name: str, case: Case, spec: str | Path) -> float:
    """By how many MB (2**20 bytes) resident memory grows at most while arm `name` runs, in a process of its own."""
    if not sys.platform.startswith("linux"):
        raise InputError("--memory reads /proc, which only Linux has; leave it out")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_growth_mb, kind, name, case, spec).result()


def _growth_mb(kind: Kind, name: str, case: Case, spec: str | Path) -> float:
    arm = ARMS[kind](Workbench.load(spec), case)[name]
    gc.collect()
    # Sets the high-water mark back to what is resident now (proc(5)): loading must not count.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status_kb("VmRSS")
    arm()
    return round((_status_kb("VmHWM") - before) / 1024, 1)


def _status_kb(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise KeyError(key)
