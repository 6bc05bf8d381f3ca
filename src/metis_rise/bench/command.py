"""The command `rise bench`: measure every case and say what came out, as JSON or as a table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from metis_rise import __version__
from metis_rise.bench.cases import OURS, Case, Kind, Size, Workbench, cases
from metis_rise.bench.measure import ARMS, interleaved_ratios, peak_memory_mb, summary
from metis_rise.policy.loading import TINY

ROUNDS = 5


def run(kind: Kind, size: Size, *, as_json: bool, memory: bool) -> None:
    """Measure and print on standard output; progress goes to standard error."""
    result = measure(kind, cases(size), memory=memory)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    console = Console()
    console.print(table(kind, result["rows"]))
    console.print(", ".join(f"{name} {value}" for name, value in result["environment"].items()), style="dim")


def measure(
    kind: Kind, chosen: Sequence[Case], *, memory: bool, rounds: int = ROUNDS, spec: str | Path = TINY
) -> dict[str, Any]:
    """{"environment", "rows"} as docs/bench.md says; a ratio over 1 means that we are faster."""
    load_before = os.getloadavg()[0]
    bench = Workbench.load(spec)
    rows: list[dict[str, Any]] = []
    for case in chosen:
        arms = ARMS[kind](bench, case)
        name = f"{kind} {case.image_tokens}/{case.completion_tokens}"
        total = len(arms) * (1 + rounds + memory)
        with tqdm(total=total, desc=name, unit="run", leave=False, disable=None) as bar:
            ratios = interleaved_ratios(arms, rounds, bar.update)
            peaks = {}
            for arm in arms if memory else ():
                peaks[arm] = peak_memory_mb(kind, arm, case, spec)
                bar.update()
        rows.append({"case": asdict(case), **summary(ratios), "memory_mb": peaks})
    return {"environment": {**_environment(bench, rounds), "load_before": round(load_before, 2)}, "rows": rows}


def table(kind: Kind, rows: Sequence[dict[str, Any]]) -> Table:
    """One line per case: the median ratio to each peer, below it least and greatest, and the memory if measured."""
    peers = list(rows[0]["ratio"])
    memory = bool(rows[0]["memory_mb"])
    out = Table(title=f"{kind}: seconds of each peer over ours (over 1: we are faster)", show_lines=True)
    for heading in ("image\ntokens", "new\ntokens", "prompts\nx group", *([OURS] if memory else []), *peers):
        out.add_column(heading, justify="right")
    for row in rows:
        case = row["case"]
        cells = [
            f"{row['ratio'][peer]:.2f}x\n{row['spread'][peer][0]:.2f} to {row['spread'][peer][1]:.2f}" for peer in peers
        ]
        if memory:
            peaks = row["memory_mb"]
            cells = [f"{peaks[OURS]:.0f} MB", *(f"{c}\n{peaks[p]:.0f} MB" for p, c in zip(peers, cells, strict=True))]
        rollouts = f"{case['prompts']} x {case['group_size']}"
        out.add_row(str(case["image_tokens"]), str(case["completion_tokens"]), rollouts, *cells)
    return out


def _environment(bench: Workbench, rounds: int) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": "cpu, float32",
        "parameters": sum(value.numel() for value in bench.policy.model.parameters()),
        "rounds": rounds,
        "metis-rise": __version__,
        **{package: version(package) for package in ("torch", "transformers")},
    }
