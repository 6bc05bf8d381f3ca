"""`rise bench verify`: verdicts against math-verify in this process, on pairs made up for it, on one core."""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from metis_rise import __version__
from metis_rise.bench.cases import OURS
from metis_rise.bench.measure import summary
from metis_rise.bench.verdict_pairs import FAMILIES, SIMPLE, Pair, make_completion, make_pair
from metis_rise.types import Problem
from metis_rise.verifier.equivalence import equivalent
from metis_rise.verifier.judge import judge
from metis_rise.verifier.symbolic import shared_pool

THEIRS = "math_verify"
ARMS = (OURS, THEIRS)
ROUNDS = 5
# Per round, half of them right.
PAIRS = {family: 1000 if family == SIMPLE else 60 for family in FAMILIES}
SETTLED, ASKED = "settled by our rules", "handed to a worker"
Judge = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Measured:
    """What became of one pair: each arm's verdict and seconds, and whether ours asked a symbolic worker."""

    family: str
    turn: int
    same: bool
    verdicts: dict[str, bool]
    seconds: dict[str, float]
    asked: bool


def run(*, as_json: bool) -> None:
    """Measure and print on standard output; on Linux this process and its workers stay on one core from then on."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    result = measure(PAIRS, ROUNDS)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    console = Console()
    console.print(table(result["rows"]))
    console.print(", ".join(f"{name} {value}" for name, value in result["environment"].items()), style="dim")


def measure(pairs: dict[str, int], rounds: int) -> dict[str, Any]:
    """{"environment", "rows"} as docs/benchmarks.md says.

    Args:
        pairs: per family, how many of its pairs a round has.
        rounds: how many are measured, after one that is not. Each has pairs of its own.
    """
    load_before = os.getloadavg()[0]
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    measured: list[Measured] = []
    with tqdm(total=len(pairs) * (1 + rounds), desc="verify", unit="part", leave=False, disable=None) as bar:
        for turn in range(1 + rounds):
            for family, count in pairs.items():
                part = _measure_part(family, range(turn * count, (turn + 1) * count), turn)
                measured += part if turn else []
                bar.update()
    rest = [one for one in measured if one.family != SIMPLE]
    groups = {family: [one for one in measured if one.family == family] for family in pairs}
    groups |= {name: [one for one in rest if one.asked == asked] for name, asked in ((SETTLED, False), (ASKED, True))}
    environment = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "metis-rise": __version__,
        **{package: version(package) for package in ("math-verify", "sympy")},
        "rounds": rounds,
        "load_before": round(load_before, 2),
    }
    return {"environment": environment, "rows": [row(name, group) for name, group in groups.items() if group]}


def row(family: str, group: Sequence[Measured]) -> dict[str, Any]:
    """Of some pairs together: medians over the rounds, whose seconds are those of their pairs that are in the group."""
    turns = [[one for one in group if one.turn == turn] for turn in sorted({one.turn for one in group})]
    seconds = {arm: [sum(one.seconds[arm] for one in turn) for turn in turns] for arm in ARMS}
    rates = {arm: [len(turn) / s for turn, s in zip(turns, seconds[arm], strict=True)] for arm in ARMS}
    return {
        "case": {"family": family, "pairs": len(group)},
        **summary(seconds),
        "per_second": {arm: round(median(rates[arm]), 2) for arm in ARMS},
        "fallback_share": round(sum(one.asked for one in group) / len(group), 4),
        "wrong": {arm: sum(one.verdicts[arm] != one.same for one in group) for arm in ARMS},
        "different": sum(one.verdicts[OURS] != one.verdicts[THEIRS] for one in group),
        "memory_mb": {},
    }


def table(rows: Iterable[dict[str, Any]]) -> Table:
    """One line per row; how many verdicts differ is in the JSON alone."""
    out = Table(
        title="verify: seconds of math-verify over ours (over 1: we are faster)", box=SIMPLE_HEAD, pad_edge=False
    )
    out.add_column("pairs")
    for heading in (
        "ratio",
        "least to\ngreatest",
        "per s:\nours",
        "theirs",
        "asked a\nworker",
        "wrong:\nours",
        "theirs",
    ):
        out.add_column(heading, justify="right", no_wrap=True)
    for one in rows:
        least, greatest = one["spread"][THEIRS]
        out.add_row(
            f"{one['case']['pairs']} {one['case']['family']}",
            f"{one['ratio'][THEIRS]:.3g}x",
            f"{least:.3g}-{greatest:.3g}",
            *(f"{one['per_second'][arm]:.0f}" for arm in ARMS),
            f"{one['fallback_share']:.1%}",
            *(str(one["wrong"][arm]) for arm in ARMS),
        )
    return out


def _measure_part(family: str, numbers: range, turn: int) -> list[Measured]:
    """All pairs through one arm, then all through the other; which one begins changes from round to round."""
    pairs = [make_pair(family, number) for number in numbers]
    arms = {OURS: _our_judges(family, pairs, numbers), THEIRS: _their_judges(family, pairs, numbers)}
    verdicts: dict[str, list[bool]] = {}
    seconds: dict[str, list[float]] = {}
    asked: list[bool] = []
    for arm in ARMS if turn % 2 else ARMS[::-1]:
        gc.collect()
        verdicts[arm], seconds[arm] = [], []
        for judged in arms[arm]:
            before = shared_pool().asked
            start = time.perf_counter()
            verdict = judged()
            seconds[arm].append(time.perf_counter() - start)
            verdicts[arm].append(verdict)
            if arm == OURS:
                asked.append(shared_pool().asked > before)
    return [
        Measured(
            family,
            turn,
            pair.same,
            {arm: verdicts[arm][index] for arm in arms},
            {arm: seconds[arm][index] for arm in arms},
            asked[index],
        )
        for index, pair in enumerate(pairs)
    ]


def _our_judges(family: str, pairs: Sequence[Pair], numbers: range) -> list[Judge]:
    """Simple pairs as rewards meet them: a completion's format, its answer, the verdict. The others as two answers."""

    def whole(pair: Pair, number: int) -> Judge:
        problem = Problem(f"{number}", "What is the value?", pair.gold, pair.answer_type, choices=pair.choices)
        text = make_completion(pair, number)
        return lambda: judge(problem, text).correct

    def alone(pair: Pair) -> Judge:
        return lambda: equivalent(pair.gold, pair.answer, pair.answer_type)[0]

    if family == SIMPLE:
        return [whole(pair, number) for pair, number in zip(pairs, numbers, strict=True)]
    return [alone(pair) for pair in pairs]


def _their_judges(family: str, pairs: Sequence[Pair], numbers: range) -> list[Judge]:
    """As math-verify's own documentation calls it, with its time-outs."""
    library: Any = importlib.import_module("math_verify")

    def judges(gold: str, answer: str) -> Judge:
        return lambda: bool(library.verify(library.parse(gold), library.parse(answer)))

    if family == SIMPLE:
        texts = [make_completion(pair, number) for pair, number in zip(pairs, numbers, strict=True)]
    else:
        texts = [f"${pair.answer}$" for pair in pairs]
    return [judges(f"${pair.gold}$", text) for pair, text in zip(pairs, texts, strict=True)]
