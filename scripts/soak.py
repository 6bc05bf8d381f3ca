"""Hours of the RL loop, watched: does memory grow, do handles or processes leak?

    python scripts/soak.py [--minutes 120] [--folder soak] [--json FILE] [KEY=VALUE ...]

Runs `rise rl tiny` on one thread with evaluations and checkpoints as often as in a real run, and a learning rate so
low that problems of every kind are left. Every ten seconds it reads from /proc what the process and its helpers hold.
In the end it stops the run as a user does (SIGTERM) and prints slopes of memory after the warm-up, with their standard
errors: of all readings, and of the lowest of every ten minutes. Only the latter is what the process keeps: a large step
leaves the allocator with pages that it gives back later. Exit code 1 where that grows by more than `--most` MB an hour
beyond two standard errors, or handles or processes grow at all (medians of the first and the last tenth after the
warm-up). `--read FILE` looks at readings of before. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

SETTINGS = (
    "threads=1",
    "rl.steps=1000000",
    "rl.learning_rate=1e-7",
    "rl.eval_every=50",
    "rl.eval_problems=36",
    "rl.checkpoint_every=10",
)
EVERY_S = 10.0
# Caches of prompts and pictures fill, kernels are chosen, the heap finds its size.
WARM_UP_SHARE = 0.2
WINDOW_S = 600.0
LEAST_MINUTES = 45.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Of a process and all below it. seconds: since the start. megabytes: resident, of 2**20 bytes."""

    seconds: float
    megabytes: float
    handles: int
    processes: int
    steps: int


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth per hour, with its standard error."""

    per_hour: float
    error: float


def family(pid: int) -> list[int]:
    """`pid` and its descendants that live."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found.extend(int(child) for child in children.read_text().split())
            except OSError:  # It ended meanwhile.
                continue
    return found


def read(pid: int, seconds: float, metrics: Path) -> Reading:
    """What `pid` and its helpers hold now."""
    pages, handles, alive = 0, 0, 0
    for each in family(pid):
        try:
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
            handles += len(os.listdir(f"/proc/{each}/fd"))
        except OSError:  # It ended meanwhile.
            continue
        alive += 1
    steps = metrics.read_bytes().count(b'"stage": "rl",') if metrics.exists() else 0
    return Reading(seconds, pages * os.sysconf("SC_PAGE_SIZE") / 2**20, handles, alive, steps)


def slope(seconds: Sequence[float], values: Sequence[float]) -> Slope:
    """The least-squares line through `values`, per hour."""
    hours = np.asarray(seconds) / 3600
    centred = hours - hours.mean()
    spread = float(centred @ centred)
    per_hour = float(centred @ np.asarray(values)) / spread
    rest = np.asarray(values) - np.mean(values) - per_hour * centred
    return Slope(per_hour, float(np.sqrt(rest @ rest / (len(hours) - 2) / spread)))


def lowest(readings: Sequence[Reading]) -> Slope:
    """The slope of the least memory of every `WINDOW_S`."""
    windows: dict[int, float] = {}
    for each in readings:
        number = int((each.seconds - readings[0].seconds) // WINDOW_S)
        windows[number] = min(each.megabytes, windows.get(number, each.megabytes))
    return slope([number * WINDOW_S for number in windows], list(windows.values()))


def typical(readings: Sequence[Reading]) -> Reading:
    """The median of each figure."""
    middle = np.median([astuple(each) for each in readings], axis=0)
    return Reading(float(middle[0]), float(middle[1]), *(round(value) for value in middle[2:]))


def watch(folder: Path, minutes: float, settings: Sequence[str]) -> list[Reading]:
    """Runs RL for so many minutes and reads it every ten seconds."""
    command = [sys.executable, "-m", "metis_rise", "rl", "tiny", *SETTINGS, *settings, "--name", "soak", "--root"]
    start, readings = time.monotonic(), list[Reading]()
    with (folder / "soak.log").open("wb") as log:
        process = subprocess.Popen([*command, str(folder)], stdout=log, stderr=subprocess.STDOUT)
        with tqdm(total=round(minutes * 60), desc="soak", unit="s") as bar:
            while (seconds := time.monotonic() - start) < minutes * 60:
                time.sleep(EVERY_S)
                if process.poll() is not None:
                    raise SystemExit(f"the run ended by itself (exit code {process.returncode}); see {log.name}")
                readings.append(read(process.pid, seconds, folder / "soak" / "metrics.jsonl"))
                bar.set_postfix(MB=round(readings[-1].megabytes), handles=readings[-1].handles)
                bar.update(round(seconds) - bar.n)
        process.send_signal(signal.SIGTERM)
        process.wait(600)
    return readings


def main() -> None:
    """Prints what grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="more of the recipe")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--folder", type=Path, default=Path("soak"))
    parser.add_argument("--most", type=float, default=5.0, help="MB an hour that memory may grow")
    parser.add_argument("--json", type=Path, help="write all readings here")
    parser.add_argument("--read", type=Path, help="readings that --json wrote; nothing is run")
    options = parser.parse_args()
    if options.minutes < LEAST_MINUTES:
        parser.error(f"--minutes must be {LEAST_MINUTES:g} or more, or there are too few windows for a slope")
    if options.read:
        readings = [Reading(**each) for each in json.loads(options.read.read_text(encoding="utf-8"))]
    else:
        options.folder.mkdir(parents=True, exist_ok=True)
        readings = watch(options.folder, options.minutes, options.settings)
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in readings]) + "\n", encoding="utf-8")
    late = [each for each in readings if each.seconds >= WARM_UP_SHARE * readings[-1].seconds]
    kept, grown = lowest(late), slope([each.seconds for each in late], [each.megabytes for each in late])
    first, last = typical(late[: len(late) // 10 + 1]), typical(late[-(len(late) // 10) - 1 :])
    end = readings[-1]
    print(f"{end.steps:,} RL steps in {end.seconds / 60:.0f} minutes, read {len(readings)} times")
    print(f"memory after the warm-up: {first.megabytes:.0f} MB, at the end {last.megabytes:.0f} MB")
    print(f"all readings: {grown.per_hour:+.1f} MB an hour (standard error {grown.error:.1f})")
    print(f"lowest of every ten minutes: {kept.per_hour:+.1f} MB an hour (standard error {kept.error:.1f})")
    print(f"handles {first.handles} -> {last.handles}, processes {first.processes} -> {last.processes}")
    leaks = last.handles > first.handles or last.processes > first.processes
    raise SystemExit(1 if leaks or kept.per_hour - 2 * kept.error > options.most else 0)


if __name__ == "__main__":
    main()
