"""The run as rich tables: what each arm scores, what each stage used and dropped, where the problems stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from metis_rise.report.data import ARMS, MODES, RunData, Summary, load_run
from metis_rise.report.rounds import rounds
from metis_rise.report.text import (
    NONE,
    count,
    dropped,
    duration,
    expert_sentence,
    headline,
    judge_sentence,
    mode_label,
    modes,
    percent,
    sampling_sentence,
    verdict_sentences,
)
from metis_rise.types import Bucket

_ARM_STYLES = {"base": "bright_black", "rl": "blue", "rise": "yellow"}


def arms_table(
    summary: Summary, recipe: Mapping[str, Any] | None = None, families: Sequence[str] | None = None
) -> Table:
    """Accuracy in percent: a row per mode and arm; all problems with the 95 % interval, then `families` (all), n."""
    shown = summary.families if families is None else families
    name = summary.recipe if recipe is None else recipe["name"]
    table = _table(f"{name}: test accuracy in percent, right and well formed, 95 % interval")
    table.collapse_padding = True
    table.add_column("", no_wrap=True, min_width=len("  after RISE"))
    table.add_column("all", justify="right", no_wrap=True, min_width=len("50.0 [40.0, 60.0]"))
    for family in shown:
        heading = _heading(family)
        table.add_column(heading, justify="right", min_width=max(5, *map(len, heading.split())), vertical="bottom")
    table.add_column("n", justify="right", no_wrap=True)
    for mode in MODES:
        scores = summary.mode(mode)
        if not scores:
            continue
        table.add_row(Text(mode_label(mode, recipe), style="bold"))
        for arm, score in scores.items():
            span = Text(f" [{100 * score.low:.1f}, {100 * score.high:.1f}]", style="dim")
            cells = [_points(score.families.get(family)) for family in shown]
            overall = Text(_points(score.accuracy), style="bold") + span
            table.add_row(Text(f"  {ARMS[arm]}", style=_ARM_STYLES[arm]), overall, *cells, count(score.n))
        table.add_section()
    return table


def stages_table(run: RunData) -> Table:
    """Per stage: its time, problems, trajectories used, and trajectories dropped with the reasons."""
    table = _table("stages")
    table.add_column("stage", no_wrap=True)
    for name in ("time", "problems", "used"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("dropped")
    for stage in run.stages.values():
        note = dropped(stage.dropped) or NONE if stage.state == "done" else f"({stage.state})"
        table.add_row(stage.label, duration(stage.seconds), count(stage.problems), count(stage.used), Text(note))
    return table


def buckets_table(run: RunData) -> Table | None:
    """Problems per family and bucket after RL; None while diagnosis is not done."""
    result = run.stages["2-diagnose"].result
    if result is None:
        return None
    table = _table("train problems after RL, by solve rate")
    table.add_column("family")
    for name in ("absent", "inconsistent", "mastered"):
        table.add_column(name, justify="right", no_wrap=True)
    for family, buckets in sorted(result.get("families", {}).items()):
        table.add_row(Text(family or "all in one"), *_bucket_cells(buckets))
    table.add_section()
    table.add_row(Text("all", style="bold"), *_bucket_cells(result["buckets"]))
    return table


def rounds_table(run: RunData) -> Table | None:
    """Dev accuracy, buckets and examples of each round; None for a run of a single one."""
    found = rounds(run)
    if not found:
        return None
    table = _table("rounds: dev accuracy in percent, greedy / sampled")
    table.add_column("round", justify="right")
    for name in ("after RL", "absent", "inconsistent", "mastered", "taught", "after SFT"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("taken")
    for each in found:
        buckets = [count(each.buckets.get(name)) for name in (Bucket.ABSENT, Bucket.INCONSISTENT, Bucket.MASTERED)]
        cells = (modes(each.after_rl), *buckets, count(each.examples), modes(each.after_sft))
        table.add_row(str(each.number), *cells, Text(each.taken or NONE))
    return table


def print_report(run_path: Path, console: Console) -> None:
    """Print the verdict and the three tables of the run in `run_path`; InputError where there is no such run."""
    run = load_run(run_path)
    done, stages = run.finished
    if done < stages:
        console.print(f"{run.name}: {done} of {stages} stages are done.", markup=False, highlight=False)
    if run.summary is not None and run.summary.scores:
        for families in _fitting(run.summary, console):
            console.print(arms_table(run.summary, run.recipe, families))
        console.print(Text(headline(run.summary), style="bold"))
        for way, line in verdict_sentences(run.summary):
            console.print(Padding(Text(f"{'=+-'[way]} {line}"), (0, 0, 0, 2)))
        if judged := judge_sentence(run.summary):
            console.print(Padding(Text(f"  {judged}"), (0, 0, 0, 2)))
        console.print()
    buckets = buckets_table(run)
    if buckets is not None:
        console.print(buckets)
    if spared := sampling_sentence(run.stages["2-diagnose"].result):
        console.print(Padding(Text(spared), (0, 0, 1, 0)))
    console.print(stages_table(run))
    if paid := expert_sentence(run.stages["4-expert"].result):
        console.print(Padding(Text(paid), (0, 0, 1, 0)))
    turns = rounds_table(run)
    if turns is not None:
        console.print(turns)
    for event in run.warnings:
        console.print(Text(f"warning: {event.get('text', '')}", style="red"))


def _fitting(summary: Summary, console: Console) -> list[list[str]]:
    """The families in as few groups as make tables that fit the console's width without broken words."""
    families = summary.families
    for tables in range(1, len(families) + 1):
        size = -(-len(families) // tables)
        groups = [families[start : start + size] for start in range(0, len(families), size)]
        if all(_fits(arms_table(summary, None, group), console) for group in groups):
            return groups
    return [[family] for family in families] or [[]]


def _fits(table: Table, console: Console) -> bool:
    table.title = None
    unbounded = console.options.update(max_width=10 * console.width + 1000)
    return Measurement.get(console, unbounded, table).minimum <= console.width


def _heading(family: str) -> str:
    return family.replace("_", " ").replace("-", " ") or "all in one"


def _points(share: float | None) -> str:
    return NONE if share is None else percent(share).removesuffix(" %")


def _bucket_cells(buckets: Mapping[str, int]) -> list[str]:
    total = sum(buckets.values())
    cells = []
    for name in (Bucket.ABSENT, Bucket.INCONSISTENT, Bucket.MASTERED):
        n = buckets.get(name, 0)
        cells.append(f"{n:,} ({percent(n / total, 0)})" if total else NONE)
    return cells


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
