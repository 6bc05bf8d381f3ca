"""The run as one HTML file that needs nothing else: no network, no font, and no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from metis_rise.report import charts, text
from metis_rise.report.benchmarks import benchmark_rows
from metis_rise.report.data import ARMS, MODES, RunData, Summary, load_run
from metis_rise.report.experts import expert_rows
from metis_rise.report.explorer import explorer
from metis_rise.report.movement import check_flow, first_met, right_by_arm, train_flow
from metis_rise.report.rounds import rounds
from metis_rise.report.troubles import troubles
from metis_rise.run import Run, write_atomic
from metis_rise.types import Bucket

_TEMPLATES = Path(__file__).parent.parent / "templates"
_SCRIPTS = ("report.js", "report.plots.js")
_BUCKETS = (Bucket.ABSENT.value, Bucket.INCONSISTENT.value, Bucket.MASTERED.value)


def write_report(run_path: Path) -> Path:
    """Write report.html into the run folder and return its path; InputError where there is no such run."""
    target = run_path / "report.html"
    # A lone surrogate, which JSON can hold, has no bytes in UTF-8.
    write_atomic(target, render(load_run(run_path)).encode("utf-8", "replace"))
    return target


def refresh_report(run: Run) -> None:
    """`write_report` while a run goes on, whatever comes of it."""
    with run.spared("the report is not brought up to date"):
        write_report(run.path)


def environment() -> Environment:
    """The template engine of our pages, which escapes every string and fails where a name is not known."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(run: RunData) -> str:
    """The page of `run`. Every string from the run is escaped by the template engine."""
    engine = environment()
    engine.filters |= {
        "percent": text.percent,
        "interval": text.interval,
        "duration": text.duration,
        "count": text.count,
        "number": text.number,
        "dropped": text.dropped,
        "modes": text.modes,
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    }
    return engine.get_template("report.html.j2").render(_context(run))


def _context(run: RunData) -> dict[str, Any]:
    script = "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return {
        "run": run,
        "arms": ARMS,
        "modes": {mode: text.mode_label(mode, run.recipe) for mode in MODES},
        "standing": text.standing(run) if run.next_stage else None,
        "now": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "headline": text.headline(run.summary) if run.summary else "No arm is evaluated yet.",
        "sentences": text.verdict_sentences(run.summary) if run.summary else [],
        "judge": text.judge_sentence(run.summary) if run.summary else None,
        "families": _family_rows(run.summary, run) if run.summary else [],
        "benchmarks": benchmark_rows(run),
        "bucket_names": _BUCKETS,
        "experts": expert_rows(run),
        "rounds": rounds(run),
        "training": _training(run),
        "troubles": troubles(run),
        # What is in the script is known, and the browser runs nothing else.
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **_problems(run),
    }


def _problems(run: RunData) -> dict[str, Any]:
    """Where the problems stand and went, and what was answered to them."""
    met, right = first_met(run), right_by_arm(run)
    train, test = train_flow(run, met), check_flow(right)
    flows = [
        ("Train problems", f"{train.problems if train else 0:,}, from RL's first sight of them on", train),
        ("Test problems", f"{test.problems if test else 0:,}, by the greedy and the sampled answer", test),
    ]
    return {
        "buckets": _bucket_rows(run),
        "spared": text.sampling_sentence(run.stages["2-diagnose"].result),
        "flows": charts.flow_figures(flows),
        "solve_rates": charts.solve_rate_figures(run, met),
        "explorer": explorer(run, met, right),
    }


@dataclass(frozen=True, slots=True)
class _Training:
    """The curves of a round, and its curriculum stages."""

    title: str
    rl: Sequence[charts.Figure]
    sft: Sequence[charts.Figure]
    phases: Sequence[Any]


def _training(run: RunData) -> list[_Training]:
    every = [run.stages, *run.later_rounds]
    return [
        _Training(
            "" if number == 1 else f", round {number}",
            charts.rl_figures(run, number),
            charts.sft_figures(run, number),
            stages["5-sft"].phases,
        )
        for number, stages in enumerate(every, start=1)
    ]


@dataclass(frozen=True, slots=True)
class _Cell:
    """An arm's accuracy on a family; `best` where no arm is better and some arm is worse in that mode."""

    arm: str
    share: float | None
    best: bool


def _family_rows(summary: Summary, run: RunData) -> list[tuple[str, int, dict[str, list[_Cell]]]]:
    """(family, its test problems, cells per mode), in the order of the families' names."""
    rows = []
    for family in summary.families:
        n = sum(problem.family == family for problem in run.problems["test"].values())
        rows.append((family, n, {mode: _cells(summary, mode, family) for mode in MODES if summary.mode(mode)}))
    return rows


def _cells(summary: Summary, mode: str, family: str) -> list[_Cell]:
    shares = {arm: score.families.get(family) for arm, score in summary.mode(mode).items()}
    known = [share for share in shares.values() if share is not None]
    best = max(known, default=0.0) if len(set(known)) > 1 else None
    return [_Cell(arm, share, best is not None and share == best) for arm, share in shares.items()]


def _bucket_rows(run: RunData) -> list[tuple[str, int, Sequence[tuple[str, int]]]]:
    """(family, problems, (bucket, problems) in the order absent, inconsistent, mastered); the total comes last."""
    result = run.stages["2-diagnose"].result
    if result is None:
        return []
    named = sorted(result.get("families", {}).items())
    if len(named) != 1:
        named.append(("all", result["buckets"]))
    return [(name, sum(row.values()), [(b, row.get(b, 0)) for b in _BUCKETS]) for name, row in named]
