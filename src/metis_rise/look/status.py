"""Where a run stands: who works on it, which stage is next and how far it has come, what was warned of."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metis_rise.errors import InputError
from metis_rise.lock import Holder, holder_of
from metis_rise.look.progress import Progress, progress
from metis_rise.report.data import RunData, StageRecord, load_run
from metis_rise.report.terminal import arms_table
from metis_rise.report.text import duration, number
from metis_rise.run import Run, round_name
from metis_rise.terminal.plain import one_line, plain

_MARKS = {"done": ("●", "green"), "unfinished": ("◐", "cyan"), "not started": ("○", "dim")}


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a run. stage: the one that is next, its round and folder's name; None when all are done.

    state: "done", "at work", "stopped" or "not begun". silent_s: seconds since something was written last.
    """

    data: RunData
    state: str
    holder: Holder | None
    stage: tuple[int, StageRecord] | None
    progress: Progress | None
    silent_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `docs/terminal.md` says what each is."""
        at, data = self.progress, self.data
        summary = json.loads((data.path / "summary.json").read_bytes()) if data.summary is not None else {}
        report = data.path / "report.html"
        return {
            "run": str(data.path),
            "recipe": data.name,
            "state": self.state,
            "holder": None if self.holder is None else {"pid": self.holder.pid, "host": self.holder.host},
            "stage": None if self.stage is None else _short(self.stage[1]),
            "round": None if self.stage is None else self.stage[0],
            "progress": None
            if at is None
            else {"done": at.done, "of": at.total, "unit": at.unit, "part": at.part, "eta_seconds": at.eta_s}
            | {"numbers": dict(at.numbers)},
            "stages": {name: {"state": s.state, "seconds": s.seconds} for name, s in _stages(data)},
            "dev": _last_dev(data),
            "arms": summary.get("arms", {}),
            "peak_memory_mb": summary.get("peak_memory_mb"),
            "warnings": [str(event.get("text", "")) for event in data.warnings],
            "silent_seconds": self.silent_s,
            "report": str(report) if report.exists() else None,
        }


def status_of(path: Path) -> Status:
    """The status of the run in `path`; InputError where there is no run."""
    if not (path / "recipe.json").is_file():
        raise InputError(f"{path}: no run folder (it holds no recipe.json); name one such as runs/tiny")
    data, holder = load_run(path), holder_of(path)
    stage = data.next_stage
    at = None
    if stage is not None and stage[1].started:
        at = progress(data, Run(path).in_round(stage[0]), stage[1].folder)
    begun = any(record.started for _, record in _stages(data))
    state = "at work" if holder else "done" if stage is None else "stopped" if begun else "not begun"
    return Status(data, state, holder, stage, at, _silent(path))


def print_status(path: Path, console: Console, *, as_json: bool = False) -> None:
    """Prints the status of the run in `path`, as one JSON object on stdout or for people."""
    status = status_of(path)
    if as_json:
        print(json.dumps(status.to_json(), ensure_ascii=False))
        return
    console.print(_heading(status))
    console.print(_strip(status.data))
    if status.progress is not None and status.stage is not None:
        console.print(_bar(status.stage, status.progress))
    if dev := _last_dev(status.data):
        scores = ", ".join(f"{mode} {100 * value:.1f} %" for mode, value in dev["scores"].items())
        console.print(Text(f"last dev score: {scores} ({dev['curve']}, step {dev['step']:,})"))
    for event in status.data.warnings:
        console.print(Text(f"! {one_line(str(event.get('text', '')))}", style="yellow"))
    if status.data.summary is not None and status.data.summary.scores:
        table = arms_table(status.data.summary, status.data.recipe, [])
        # It would be broken to the width of a table this narrow.
        table.title = None
        console.print(Text("\ntest accuracy in percent, right and well formed, 95 % interval", style="bold"))
        console.print(table)
    if (page := status.data.path / "report.html").exists():
        console.print(Text(f"report: {page}"), soft_wrap=True)


def _stages(data: RunData) -> Iterator[tuple[str, StageRecord]]:
    """All stages that are known, those of later rounds as "round-2/rl"."""
    yield from ((_short(record), record) for record in data.stages.values())
    for turn, stages in enumerate(data.later_rounds, start=2):
        own = (record for record in stages.values() if record.folder != "6-evaluate")
        yield from ((f"{round_name(turn)}/{_short(record)}", record) for record in own)


def _short(record: StageRecord) -> str:
    return record.folder.partition("-")[2]


def _last_dev(data: RunData) -> dict[str, Any] | None:
    found = [metric for metric in data.metrics if metric.stage.endswith("-dev")]
    if not found:
        return None
    return {"curve": found[-1].stage, "step": found[-1].step, "scores": dict(found[-1].values)}


def _silent(path: Path) -> float | None:
    """Seconds since one of the files that a run at work adds to was written."""
    files = [path / name for name in ("log.txt", "metrics.jsonl", "manifest.jsonl")]
    files += [*path.glob("[0-9]-*/*.jsonl"), *path.glob("round-*/[0-9]-*/*.jsonl")]
    times = [file.stat().st_mtime for file in files if file.exists()]
    return max(0.0, time.time() - max(times)) if times else None


def _heading(status: Status) -> Text:
    style = {"done": "green", "at work": "cyan", "stopped": "yellow"}.get(status.state, "dim")
    text = Text.assemble((f"{plain(status.data.name)}: ", "bold"), (status.state, f"bold {style}"))
    if status.holder is not None:
        text.append(f", process {status.holder.pid} on {plain(status.holder.host)}")
    if status.silent_s is not None and status.state != "done":
        text.append(f", last line written {duration(status.silent_s)} ago", style="dim")
    return text


def _strip(data: RunData) -> Columns:
    """Every stage with its mark, and how long it took."""
    cells = []
    for name, record in _stages(data):
        mark, style = _MARKS[record.state]
        taken = "" if record.seconds is None else f" {duration(record.seconds)}"
        cells.append(Text.assemble((f"{mark} {name}", style), (taken, "dim"), no_wrap=True))
    return Columns(cells, padding=(0, 3))


def _bar(stage: tuple[int, StageRecord], at: Progress) -> Group:
    turn, record = stage
    title = record.label if turn == 1 else f"{round_name(turn)}, {record.label}"
    of = f"/{at.total:,}" if at.total is not None else ""
    said = f"{at.done:,}{of} {at.unit}s" + (f" ({at.part})" if at.part else "")
    left = "" if at.eta_s is None else f"{duration(at.eta_s)} left"
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(no_wrap=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True, justify="right")
    row.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(at.total, at.done, complete_style="cyan") if at.total else ""
    row.add_row(Text(title, style="bold"), bar, Text(said), Text(left))
    numbers = "   ".join(f"{name} {number(value)}" for name, value in at.numbers.items())
    return Group(row, *([Text(f"  {numbers}")] if numbers else []))
