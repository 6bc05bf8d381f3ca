"""Speed, memory and exactness of the policy update on one GPU, at Qwen2.5-VL-7B's shapes with random weights.

    python benchmarks/gpu_update.py                             one call on a CUDA GPU, under 9 minutes
    python benchmarks/gpu_update.py --device cpu --shape small  what it does, without a GPU

Needs the installed package alone: no network, no weights. First every arm in bfloat16 is compared with float32
(`gpu/parity.py`), then the arms (`gpu/arms.py`) are timed, the goals first; what does not fit into the time is named.
Exit code 1: parity failed. Exit code 2: this cannot run here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from gpu.arms import PADDING_FREE
from gpu.cases import Case, make_cases
from gpu.parity import check_parity
from gpu.shapes import SHAPES, Shape, make_config, make_model
from gpu.timing import ARMS, Bench, Clock, peak_flops

from metis_rise.policy.loading import TINY, find_folder
from metis_rise.policy.model import Policy
from metis_rise.policy.processor import load_processor


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; see the module."""
    options = _parse(arguments)
    name = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        return _refuse("torch finds no CUDA GPU; --device cpu --shape small tries the script without one")
    if name == "cpu" and options.shape == "7b":
        return _refuse("the shape 7b needs a CUDA GPU; --shape small tries the script without one")
    clock = Clock(options.seconds)
    device, shape = torch.device(name), SHAPES[options.shape]
    # No tokenizer is needed: what the policy asks of one may as well come from the shipped base.
    parts: tuple[Any, dict[str, Any]] = (load_processor(find_folder(TINY)), {})
    label = torch.cuda.get_device_name() if name == "cuda" else "CPU"
    peak = options.peak_tflops * 1e12 if options.peak_tflops else peak_flops(label)
    budget = options.micro_tokens or shape.micro_tokens
    print(f"{label}, torch {torch.__version__}, shape {shape.name}, at most {budget} tokens a pass", flush=True)
    if peak is None:
        print("no utilisation: the peak of this device is not known; --peak-tflops gives it")
    parity = check_parity(shape, parts, device)
    _print_parity(parity, clock)
    rows, skipped = _measure(_make_bench(shape, parts, device, options, peak, clock))
    result = {
        "device": label,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "shape": shape.name,
        "micro_tokens": budget,
        "peak_tflops": peak and peak / 1e12,
        "parity": parity,
        "rows": rows,
        "skipped": skipped,
        "seconds": round(clock.spent(), 1),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{len(rows)} cases, {len(skipped)} skipped, {clock.spent():.0f} s")
    return 0 if parity["passed"] else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda where there is one")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="7b")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--seconds", type=float, default=520.0, help="start no case that would end later than this")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of each case, after one that warms up")
    parser.add_argument("--micro-tokens", type=int, help="tokens of one pass, of every arm; default: the shape's")
    parser.add_argument("--peak-tflops", type=float, help="dense bfloat16 peak of a device that is not in the table")
    return parser.parse_args(arguments)


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


def _make_bench(
    shape: Shape,
    parts: tuple[Any, dict[str, Any]],
    device: torch.device,
    options: argparse.Namespace,
    peak: float | None,
    clock: Clock,
) -> Bench:
    """One module for all arms and cases; a policy around it per case, since the tower is trained in some only."""
    model = make_model(make_config(shape), device, torch.bfloat16)
    processor, files = parts

    def make_policy(trained: bool) -> Policy:
        return Policy(model, processor, files, freeze_vision=not trained, gradient_checkpointing=True)

    budget = options.micro_tokens or shape.micro_tokens
    return Bench(shape, model, make_policy, budget, options.rounds, peak, clock)


def _measure(bench: Bench) -> tuple[list[dict[str, Any]], list[str]]:
    rows, skipped = [], []
    for case in make_cases(bench.shape):
        row = bench.measure(case)
        if row is None:
            skipped.append(str(case))
            print(f"{case}: skipped, it would end after {bench.clock.budget:.0f} s", flush=True)
            continue
        rows.append(row)
        _print_row(case, row, bench.clock)
    return rows, skipped


def _print_parity(parity: dict[str, Any], clock: Clock) -> None:
    print(f"attention of packed rows: {parity['backend']} ({parity['backend_reason']})")
    print("bfloat16 against float32, same weights: error of log-probabilities (rms, max), of gradients, least cosine")
    for arm, own in parity["errors"].items():
        ratio = parity["ratio"].get(arm)
        times = f"  {ratio['logp']:.2f}x and {ratio['gradient']:.2f}x padded's" if ratio else ""
        print(
            f"  {arm:13}{own['logp']:9.5f}{own['logp_max']:9.5f}{own['gradient']:9.5f}"
            f"{own['cosine']:9.5f} ({own['tensor']}){times}"
        )
    verdict = "passed" if parity["passed"] else "FAILED"
    print(f"parity {verdict} (limit {parity['limit']}x)  [{clock.spent():.0f} s]", flush=True)


def _print_row(case: Case, row: dict[str, Any], clock: Clock) -> None:
    print(f"{case}  [{clock.spent():.0f} s]")
    for arm in ARMS:
        if arm not in row["seconds"]:
            continue
        line = f"  {arm:13}{row['seconds'][arm]:9.4f} s"
        if row["memory_mb"]:
            line += f"{row['memory_mb'][arm] / 1024:8.1f} GiB"
        if row["mfu"]:
            line += f"{100 * row['mfu'][arm]:7.1f} % MFU"
        if arm in row["ratio"]:
            low, high = row["spread"][arm]
            line += f"  packed is {row['ratio'][arm]:.2f}x as fast ({low:.2f} to {high:.2f})"
            if arm == PADDING_FREE and case.goal:
                line += f", goal {case.goal}x"
        print(line)
    for note in row["notes"]:
        print(f"  {note}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
