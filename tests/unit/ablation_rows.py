"""Rows of a results file, made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metis_rise.ablation.results import append_row, packed

PROBLEMS = "0123456789ab"


def row(
    arm: str,
    greedy: Sequence[int],
    sampled: Sequence[int] | None = None,
    *,
    base: str = "tiny",
    seed: int = 0,
    samples: int = 1,
    traces: int = 0,
    settings: Sequence[str] = (),
    problems: str = PROBLEMS,
    identity: str = "one",
    longer: Sequence[int] = (),
) -> dict[str, Any]:
    """A cell that got right what `greedy` says of each problem, and so many of `samples` of it when sampled.

    `longer` is the same of the problems of an unseen level, greedy and sampled, where they are scored.
    """
    sampled = greedy if sampled is None else sampled
    scores = {"test": {"greedy": score(greedy, 1, problems), "sampled": score(sampled, samples, problems)}}
    if longer:
        scores["unseen level"] = {mode: score(longer, 1, problems) for mode in ("greedy", "sampled")}
    return {
        "arm": arm,
        "base": base,
        "seed": seed,
        "identity": identity,
        "settings": list(settings),
        "weights": "unknown",
        "generated": {"rl": 4000, "diagnose": 1000},
        "trained": {"rl": 2000, "sft": 1000},
        "seconds": {"rl": 60.0, "sft": 30.0},
        "expert": {"asked": traces, "calls": traces + 1, "traces": traces, "taught": traces, "tokens": 40 * traces},
        "scores": scores,
    }


def score(right: Sequence[int], samples: int, problems: str) -> Mapping[str, Any]:
    """Of one split and mode; problems of the families bars and dial take turns."""
    families = {"bars": right[::2], "dial": right[1::2]}
    return {
        "n": len(right),
        "samples": samples,
        "accuracy": sum(right) / samples / len(right),
        "families": {"bars": right[0] / samples, "dial": right[-1] / samples},
        "kinds": {"right": sum(right), "perception": len(right) - sum(right)},
        "entropy": 0.25,
        "problems": problems,
        "right": packed(right, samples),
        "by_family": {name: {"n": len(each), "right": packed(each, samples)} for name, each in families.items()},
    }


def write(path: Path, *rows: Mapping[str, Any]) -> Path:
    """A results file that holds `rows`."""
    for each in rows:
        append_row(path, each)
    return path
