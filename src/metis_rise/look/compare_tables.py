"""A comparison of two runs as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metis_rise.look.compare import Comparison, compare_runs
from metis_rise.look.paired import Paired
from metis_rise.report.benchmarks import BenchmarkScore
from metis_rise.report.data import ARMS, MODES, STAGES, Score
from metis_rise.report.text import NONE, duration
from metis_rise.terminal.plain import one_line


def print_comparison(first: Path, second: Path, console: Console, *, as_json: bool = False) -> None:
    """Prints how two runs differ, as one JSON object on stdout or for people; InputError where one is no run."""
    found = compare_runs(first, second)
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
        return
    console.print(Text(f"A: {first}\nB: {second}", style="bold"), soft_wrap=True)
    if table := _scores(found):
        _print_part("accuracy in percent, 95 % interval", table, console)
        console.print(_what_was_tested(found))
    _print_part("settings that differ", _differences(found.settings), console)
    if found.environment:
        _print_part("computed with", _differences(found.environment), console)
    _print_part("time", _seconds(found), console)


def _print_part(title: str, table: Table | None, console: Console) -> None:
    # Not as the table's own title, which is broken to the width of a narrow table.
    console.print(Text(f"\n{title}{': none' if table is None else ''}", style="bold"))
    if table is not None:
        console.print(table)


def _scores(found: Comparison) -> Table | None:
    if not found.scores and not found.benchmarks:
        return None
    table = _table()
    table.collapse_padding = True
    for name in ("", "A", "B", "B - A", "p"):
        table.add_column(name, no_wrap=True, justify="left" if not name else "right")
    for mode in MODES:
        pairs = [pair for pair in found.scores if pair.mode == mode]
        cells = [(pair.arm, _score(pair.first), _score(pair.second), pair.test) for pair in pairs]
        _add_section(table, mode, cells)
    for title in dict.fromkeys(row.title for row in found.benchmarks):
        rows = [row for row in found.benchmarks if row.title == title]
        cells = [(row.arm, _benchmark(row.first), _benchmark(row.second), row.test) for row in rows]
        _add_section(table, one_line(title, 24), cells)
    return table


def _add_section(table: Table, title: str, rows: Sequence[tuple[str, str, str, Paired | None]]) -> None:
    """A heading, with how many pairs the tests of its arms have, and a row for each arm."""
    if not rows:
        return
    sizes = sorted({test.n for _, _, _, test in rows if test is not None})
    pairs = f"{' or '.join(f'{n:,}' for n in sizes)} pairs" if sizes else ""
    table.add_row(Text(title, style="bold"), "", "", Text(pairs, style="dim"))
    for arm, first, second, test in rows:
        table.add_row(ARMS[arm], first, second, *_test(test))
    table.add_section()


def _score(score: Score | None) -> str:
    if score is None:
        return NONE
    return f"{100 * score.accuracy:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def _benchmark(score: BenchmarkScore | None) -> str:
    if score is None:
        return NONE
    span = "" if score.low is None or score.high is None else f" [{score.low:.1f}, {score.high:.1f}]"
    return f"{score.percent:.1f}{span}" + (" part" if score.partial else "")


def _test(test: Paired | None) -> tuple[Text, Text]:
    """The difference on shared problems and its p, coloured where it is beyond noise."""
    if test is None:
        return Text(NONE), Text(NONE)
    style = "" if not test.beyond_noise else "green" if test.difference > 0 else "red"
    span = f"{100 * test.difference:+.1f} [{100 * test.low:.1f}, {100 * test.high:.1f}]"
    return Text(span, style=style), Text(_p(test.p), style=style)


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _what_was_tested(found: Comparison) -> Text:
    first, second = found.tested
    said = f"B - A on the problems that both answered ({found.shared:,} of {first:,} and {second:,} test problems are "
    said += "the same); p: McNemar's exact test."
    if any(row.test for row in found.benchmarks):
        said += " On benchmarks it is of single rows."
    return Text(said, style="dim")


def _differences(pairs: Mapping[str, tuple[str, str]]) -> Table | None:
    if not pairs:
        return None
    table = _table()
    for name in ("", "A", "B"):
        table.add_column(name, overflow="fold")
    for key, (first, second) in pairs.items():
        table.add_row(*map(one_line, (key, first, second)))
    return table


def _seconds(found: Comparison) -> Table:
    table = _table()
    for name in ("stage", "A", "B"):
        table.add_column(name, justify="left" if name == "stage" else "right", no_wrap=True)
    for stage, (first, second) in found.seconds.items():
        table.add_row(STAGES[stage], duration(first), duration(second))
    return table


def _table() -> Table:
    # Without edges, so that three intervals and p fit into 80 columns.
    return Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
