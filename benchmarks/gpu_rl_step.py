"""A whole RL step and an SFT step on one GPU, against what `rise plan` says of them: seconds, tokens, memory.

    python benchmarks/gpu_rl_step.py            one call on a CUDA GPU of 80 GB or more, under 9 minutes
    python benchmarks/gpu_rl_step.py --tiny     the same with the tiny model on the CPU

Needs the installed package alone: no network, no weights. The model has Qwen2.5-VL-3B's dimensions and random weights;
the native engine samples, then the policy is updated, then fine-tuned, as stages do it (`gpu/steps.py`).
Exit code 1: memory ran out, or a gradient was not finite. Exit code 2: this cannot run here.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from gpu.planned import memory_of, plan_of, seconds_of, sheet_of, tokens_of
from gpu.steps import PARTS, SAMPLING, UPDATE, Meter, Steps
from gpu.subject import SMALL, THREE_B, Sizes, Subject, recipe_of
from gpu.timing import Clock

from metis_rise.cluster.gpus import GPUS
from metis_rise.cluster.plan import Plan

RL = "RL step"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; see the module."""
    options = _parse(arguments)
    if not options.tiny and not torch.cuda.is_available():
        return _refuse("torch finds no CUDA GPU; --tiny does the same with the tiny model on the CPU")
    clock, device = Clock(options.seconds), torch.device("cpu" if options.tiny else "cuda")
    label = "CPU" if options.tiny else torch.cuda.get_device_name()
    sheet = None if options.tiny else options.gpu or sheet_of(label)
    if sheet is None and not options.tiny:
        return _refuse(f"`rise plan` has no data sheet of {label}; --gpu names the one that is most like it")
    sizes = SMALL if options.tiny else THREE_B
    recipe, meter = recipe_of(sizes, sheet), Meter(device)
    plan = plan_of(sizes, recipe)
    planned = memory_of(plan)
    there, needed = _memory_mb(device), planned["total_mb"]
    if needed > there:
        return _refuse(f"{label} has {there / 1024:.0f} GiB; by `rise plan` this needs {needed / 1024:.0f}")
    print(f"{label}, torch {torch.__version__}, {sizes.model}, random weights, {recipe.model.dtype}", flush=True)
    notes: list[str] = []
    norms: list[dict[str, float]] = []
    try:
        _rounds(Steps(Subject(sizes, recipe), meter), clock, options.rounds, norms, notes)
        sufficed = True
    except torch.OutOfMemoryError as error:
        sufficed = False
        notes.append(f"out of memory: {meter.part} ({str(error).splitlines()[0]})")
    result = {
        "device": label,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sizes": asdict(sizes),
        "rounds": len(norms),
        "parts": _parts(meter, plan, sizes),
        "memory": {"planned": planned, "measured": _measured(meter)},
        "gradient_norms": norms,
        "assumed": plan.rates.source,
        "notes": notes,
        "seconds": round(clock.spent(), 1),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _print(result)
    finite = all(math.isfinite(norm) for each in norms for norm in each.values())
    return 0 if sufficed and finite else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="the tiny model on the CPU; its plan is for this machine")
    parser.add_argument("--gpu", choices=tuple(GPUS), help="data sheet of the plan; default: by the device's name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--seconds", type=float, default=480.0, help="start no round that would end later than this")
    parser.add_argument("--rounds", type=int, default=4, help="rounds, the first of which warms up")
    return parser.parse_args(arguments)


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


def _memory_mb(device: torch.device) -> float:
    """Of the GPU; the CPU's is not asked for."""
    return torch.cuda.get_device_properties(device).total_memory / 2**20 if device.type == "cuda" else math.inf


def _rounds(steps: Steps, clock: Clock, count: int, norms: list[dict[str, float]], notes: list[str]) -> None:
    """Fills in the norms of the gradients of every round; rounds that the time does not allow are noted."""
    longest = 0.0
    for number in range(count):
        if number and longest > clock.left():
            notes.append(f"{number} of {count} rounds, time was up")
            break
        start = time.perf_counter()
        norms.append(steps.round())
        longest = max(longest, time.perf_counter() - start)
        print(f"round {number + 1}: {longest:.1f} s at most so far  [{clock.spent():.0f} s]", flush=True)
    if len(norms) == 1:
        notes.append("the round that warms up is the only one: its seconds hold all first uses")


def _parts(meter: Meter, plan: Plan, sizes: Sizes) -> dict[str, Any]:
    """Of each part its seconds and tokens per second, measured and planned; an RL step's tokens are its new ones."""
    planned, tokens = seconds_of(plan, sizes), tokens_of(sizes)
    measured = {part: meter.median(part) for part in PARTS if part in meter.seconds}
    found = {part: _pair(measured.get(part), planned[part], tokens[part]) for part in PARTS}
    whole = measured[SAMPLING] + measured[UPDATE] if {SAMPLING, UPDATE} <= measured.keys() else None
    found[RL] = _pair(whole, planned[SAMPLING] + planned[UPDATE], tokens[SAMPLING])
    for part, peak in meter.peak.items():
        found[part]["peak_mb"] = round(peak, 1)
    return found


def _pair(measured: float | None, planned: float, tokens: int) -> dict[str, Any]:
    both = {"measured": measured, "planned": planned}
    return {
        "tokens": tokens,
        "seconds": {name: value and round(value, 5) for name, value in both.items()},
        "tokens_per_second": {name: value and round(tokens / value, 1) for name, value in both.items()},
        "planned_over_measured": measured and round(planned / measured, 3),
    }


def _measured(meter: Meter) -> dict[str, float]:
    """MB: tensors at most, what the allocator took for them, what else of the GPU was taken."""
    tensors = max(meter.peak.values(), default=0.0)
    found = {"tensors_mb": tensors, "reserved_mb": meter.reserved, "outside_mb": meter.outside()}
    return {name: round(value, 1) for name, value in found.items()}


def _print(result: Mapping[str, Any]) -> None:
    print(f"{'':12}{'seconds':>20}{'tokens/s':>22}{'plan/run':>10}{'peak MiB':>10}")
    print(f"{'':12}{'run':>10}{'plan':>10}{'run':>11}{'plan':>11}")
    for part, row in result["parts"].items():
        seconds, speed = row["seconds"], row["tokens_per_second"]
        cells = [seconds["measured"], seconds["planned"], speed["measured"], speed["planned"]]
        texts = ["-" if value is None else f"{value:.4g}" for value in (*cells, row["planned_over_measured"])]
        peak = f"{row['peak_mb']:.0f}" if "peak_mb" in row else ""
        print(f"{part:12}{texts[0]:>10}{texts[1]:>10}{texts[2]:>11}{texts[3]:>11}{texts[4]:>10}{peak:>10}")
    planned, measured = result["memory"]["planned"], result["memory"]["measured"]
    print(
        f"memory in MiB: plan {planned['tensors_mb']:.0f} of tensors, {planned['total_mb']:.0f} in all; run "
        f"{measured['tensors_mb']:.0f} of tensors, {measured['reserved_mb']:.0f} reserved, "
        f"{measured['outside_mb']:.0f} beside that"
    )
    print(f"plan: {result['assumed']}")
    for note in result["notes"]:
        print(note)
    print(f"{result['rounds']} rounds, {result['seconds']:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
