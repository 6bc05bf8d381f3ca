"""Seconds from interleaved rounds in one process, and the peak of memory from a fresh process per arm."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from metis_rise.bench.cases import OURS, Arms, Case, prepare
from metis_rise.bench.setup import Setup
from metis_rise.errors import InputError

# Per arm, one figure per round.
Seconds = dict[str, list[float]]


def interleaved_seconds(arms: Arms, rounds: int, tick: Callable[[], object]) -> Seconds:
    """Per arm its seconds in each round, after one warm-up of every arm.

    All arms run in every round, the first one changing, so that a machine that slows down meets all of them. `tick`
    is called after each run.
    """
    names = list(arms)
    for name in names:
        prepare(arms[name])
        arms[name]()
        tick()
    seconds: Seconds = {name: [] for name in names}
    for turn in range(1, rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            prepare(arms[name])
            gc.collect()
            start = time.perf_counter()
            arms[name]()
            seconds[name].append(time.perf_counter() - start)
            tick()
    return seconds


def summary(seconds: Seconds) -> dict[str, dict[str, object]]:
    """The entries `ratio`, `spread` and `seconds` of a row.

    A ratio is a peer's seconds over ours of the same round: the median over rounds, as spread [least, greatest].
    """
    ratios = {
        name: [peer / ours for peer, ours in zip(values, seconds[OURS], strict=True)]
        for name, values in seconds.items()
        if name != OURS
    }
    return {
        "ratio": {name: round(median(values), 3) for name, values in ratios.items()},
        "spread": {name: [round(min(values), 3), round(max(values), 3)] for name, values in ratios.items()},
        "seconds": {name: round(median(values), 4) for name, values in seconds.items()},
    }


def check_memory() -> None:
    """InputError where `peak_memory_mb` does not work."""
    if not sys.platform.startswith("linux"):
        raise InputError("the peak of memory is read from /proc, which only Linux has; add --no-memory")


def peak_memory_mb(setup: Setup, name: str, case: Case) -> float:
    """By how many MB (2**20 bytes) resident memory grows at most while arm `name` runs, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_growth_mb, setup, name, case).result()


def _growth_mb(setup: Setup, name: str, case: Case) -> float:
    arm = setup.arms(setup.workbench(), case)[name]
    prepare(arm)
    gc.collect()
    # What building the models has left free in the heap would be used again without a trace.
    ctypes.CDLL(None).malloc_trim(0)
    # Loading must not count.
    forget_peak()
    before = _status_kb("VmRSS")
    arm()
    return round((_status_kb("VmHWM") - before) / 1024, 1)


def forget_peak() -> None:
    """Sets the peak of resident memory back to what is resident now (proc(5)); only where `check_memory` passes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_resident_mb() -> float:
    """The peak of this process's resident memory since `forget_peak`, in MB (2**20 bytes)."""
    return round(_status_kb("VmHWM") / 1024, 1)


def _status_kb(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise KeyError(key)
