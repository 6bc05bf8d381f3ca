"""How far the stage that is next has come, by what it has left in the run's folder so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from metis_rise.journal import stream_jsonl
from metis_rise.report.data import ARMS, MODES, RunData
from metis_rise.run import Run

_RECENT = 20
_PAID = "answers.jsonl"
_JOURNAL = "trajectories-0000.jsonl"
_RL_NUMBERS = ("accuracy", "format", "length")


@dataclass(frozen=True, slots=True)
class Progress:
    """How much is done of how much (None: not known), what remains in seconds, and the numbers that matter."""

    done: int
    total: int | None
    unit: str
    part: str = ""
    eta_s: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)


def progress(data: RunData, run: Run, stage: str) -> Progress | None:
    """Of the unfinished `stage`, a numbered name, of the round that `run` is at; None where nothing can be said."""
    reader = _READERS.get(stage)
    return None if reader is None else reader(data, run, run.stage(stage).path)


def _rl(data: RunData, run: Run, folder: Path) -> Progress:
    rows = run.metrics("rl")
    total: int | None = _setting(data, "rl", "steps")
    done = int(rows[-1]["step"]) if rows else 0
    numbers = {name: float(rows[-1]["values"][name]) for name in _RL_NUMBERS if rows and name in rows[-1]["values"]}
    pace = _pace(rows)
    eta = None if pace is None or total is None else max(0.0, pace * (total - done))
    return Progress(done, total, "step", eta_s=eta, numbers=numbers)


def _diagnose(data: RunData, run: Run, folder: Path) -> Progress:
    most, problems = _setting(data, "diagnose", "max_samples"), len(data.problems["train"])
    total = None if most is None else most * problems
    # Adaptive sampling mostly ends before that.
    return Progress(_lines(folder / _JOURNAL), total, "sample", part="at most")


def _expert(data: RunData, run: Run, folder: Path) -> Progress:
    # All rounds share the first one's journal of answers.
    journal = run.path / "4-expert" / _PAID
    paid = [row for _, row in stream_jsonl(journal) if "key" in row] if journal.exists() else []
    cost = sum(float(row.get("cost", 0.0)) for row in paid)
    return Progress(len(paid), None, "answer", numbers={"cost": cost})


def _sft(data: RunData, run: Run, folder: Path) -> Progress | None:
    names = [str(stage["name"]) for stage in (data.recipe or {}).get("sft", {}).get("stages", [])]
    for name in reversed(names):
        if rows := run.metrics(f"sft-{name}"):
            part = f"{name}, {names.index(name) + 1} of {len(names)}"
            return Progress(int(rows[-1]["step"]), None, "step", part, numbers={"loss": rows[-1]["values"]["loss"]})
    return None


def _evaluate(data: RunData, run: Run, folder: Path) -> Progress:
    if data.stages["6-evaluate"].state == "done":
        there, wanted = data.scores
        return Progress(there, wanted, "score", part="benchmarks")
    modes = [mode for mode in MODES if _setting(data, "evaluate", mode) is not False]
    files = [folder / f"{arm}-{mode}.jsonl" for arm in ARMS for mode in modes]
    return Progress(sum(file.exists() for file in files), len(files), "answer set")


_READERS: Mapping[str, Callable[[RunData, Run, Path], Progress | None]] = {
    "1-rl": _rl,
    "2-diagnose": _diagnose,
    "4-expert": _expert,
    "5-sft": _sft,
    "6-evaluate": _evaluate,
}


def _setting(data: RunData, section: str, key: str) -> Any:
    return (data.recipe or {}).get(section, {}).get(key)


def _pace(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds between two steps: the median of the last ones, so that a night between two attempts counts little."""
    times = [datetime.fromisoformat(row["time"]) for row in rows[-_RECENT:]]
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    return median(gaps) if gaps else None


def _lines(file: Path) -> int:
    """The lines of a journal, which may have gigabytes."""
    if not file.exists():
        return 0
    with file.open("rb") as content:
        return sum(block.count(b"\n") for block in iter(lambda: content.read(1 << 20), b""))
