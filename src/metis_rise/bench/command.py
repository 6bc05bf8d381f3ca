"""The command `rise bench`: measure every case and say what came out, as JSON or as a table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import torch
from rich.console import Console
from tqdm import tqdm

from metis_rise import __version__
from metis_rise.bench.cases import Case, Kind, Size, rollout_cases, sft_cases, update_cases
from metis_rise.bench.measure import check_memory, interleaved_seconds, peak_memory_mb, summary
from metis_rise.bench.setup import Setup
from metis_rise.bench.table import table
from metis_rise.bench.trl_steps import check_installed
from metis_rise.bench.workbench import Workbench
from metis_rise.errors import InputError

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command as they were given; None for one that was not.

    size: of rollout's cases.
    everything: all cases of the update.
    ragged: completions of different lengths.
    against: one more peer.
    threads: that torch computes with.
    memory: measure the peak of memory; by default not for rollout.
    """

    size: Size | None = None
    everything: bool = False
    ragged: bool = False
    against: Literal["trl"] | None = None
    threads: int = 1
    memory: bool | None = None


def run(kind: Kind, options: Options, *, as_json: bool) -> None:
    """Measure and print on standard output; progress goes to standard error."""
    chosen = choose_cases(kind, options)
    memory = kind != "rollout" if options.memory is None else options.memory
    if memory:
        check_memory()
    if options.against == "trl":
        check_installed()
    result = measure(Setup(kind, options.against == "trl", options.threads), chosen, memory=memory)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    console = Console()
    console.print(table(kind, result["rows"]))
    console.print(", ".join(f"{name} {value}" for name, value in result["environment"].items()), style="dim")


def choose_cases(kind: Kind, options: Options) -> list[Case]:
    """The cases that `options` ask for; InputError for an option that `kind` does not have."""
    allowed = {"rollout": {"--cases"}, "update": {"--all", "--ragged", "--against"}, "sft": {"--ragged", "--against"}}
    given = {
        "--cases": options.size is not None,
        "--all": options.everything,
        "--ragged": options.ragged,
        "--against": options.against is not None,
    }
    for name in given:
        if given[name] and name not in allowed[kind]:
            others = " and ".join(other for other, names in allowed.items() if name in names)
            raise InputError(f"{name} is an option of rise bench {others}, not of {kind}; leave it out")
    if kind == "rollout":
        return rollout_cases(options.size or "small")
    if kind == "update":
        return update_cases(everything=options.everything, ragged=options.ragged)
    return sft_cases(ragged=options.ragged)


def measure(setup: Setup, chosen: Sequence[Case], *, memory: bool, rounds: int = ROUNDS) -> dict[str, Any]:
    """{"environment", "rows"} as docs/benchmarks.md says; a ratio over 1 means that we are faster."""
    load_before = os.getloadavg()[0]
    bench = setup.workbench()
    rows: list[dict[str, Any]] = []
    for case in chosen:
        arms = setup.arms(bench, case)
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
        **_environment(setup, bench),
        "rounds": rounds,
        "ragged": any(case.ragged for case in chosen),
        "load_before": round(load_before, 2),
    }
    return {"environment": environment, "rows": rows}


def _environment(setup: Setup, bench: Workbench) -> dict[str, Any]:
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
    }
