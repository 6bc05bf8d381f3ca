"""The command `rise bench`: measure every case and say what came out, as JSON or as a table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from rich.console import Console
from tqdm import tqdm

from metis_rise import __version__
from metis_rise.bench.cases import Case, Kind
from metis_rise.bench.measure import check_memory, interleaved_seconds, peak_memory_mb, summary
from metis_rise.bench.options import Options, choose_cases
from metis_rise.bench.setup import Setup
from metis_rise.bench.table import table
from metis_rise.bench.trl_steps import check_installed
from metis_rise.bench.vllm_peer import VllmWorker, vllm_python
from metis_rise.bench.workbench import Workbench

ROUNDS = 5


def run(kind: Kind, options: Options, *, as_json: bool) -> None:
    """Measure and print on standard output; progress goes to standard error."""
    chosen = choose_cases(kind, options)
    memory = options.measures_memory(kind)
    if memory:
        check_memory()
    trl = options.against == "trl" or kind == "step"
    if trl:
        check_installed()
    python = vllm_python(options.vllm_python) if options.against == "vllm" else None
    setup = Setup(kind, trl=trl, threads=options.threads, vllm_python=python)
    result = measure(setup, chosen, memory=memory)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    console = Console()
    console.print(table(kind, result["rows"]))
    console.print(", ".join(f"{name} {value}" for name, value in result["environment"].items()), style="dim")


def measure(setup: Setup, chosen: Sequence[Case], *, memory: bool, rounds: int = ROUNDS) -> dict[str, Any]:
    """{"environment", "rows"} as docs/benchmarks.md says; a ratio over 1 means that we are faster."""
    load_before = os.getloadavg()[0]
    bench = setup.workbench()
    rows: list[dict[str, Any]] = []
    with setup.worker(bench) as worker:
        for case in chosen:
            arms = setup.arms(bench, case, worker)
            name = f"{setup.kind} {case.image_tokens}/{case.completion_tokens}"
            total = len(arms) * (1 + rounds + memory)
            with tqdm(total=total, desc=name, unit="run", leave=False, disable=None) as bar:
                seconds = interleaved_seconds(arms, rounds, bar.update)
                peaks = {}
                for arm in arms if memory else ():
                    peaks[arm] = peak_memory_mb(setup, arm, case)
                    bar.update()
            rows.append({"case": case.named(), **summary(seconds), "memory_mb": peaks})
    environment = {
        **_environment(setup, bench, worker),
        "rounds": rounds,
        "ragged": any(case.ragged for case in chosen),
        "load_before": round(load_before, 2),
    }
    return {"environment": environment, "rows": rows}


def _environment(setup: Setup, bench: Workbench, worker: VllmWorker | None) -> dict[str, Any]:
    packages = ("torch", "transformers", *(["trl"] if setup.trl else []))
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": "cpu, float32",
        "attention": bench.policy.backend.name,
        "parameters": sum(value.numel() for value in bench.policy.model.parameters()),
        "metis-rise": __version__,
        **{package: version(package) for package in packages},
        **({} if worker is None else {"vllm": worker.version}),
    }
