"""A result on the terminal: headlines first, then breakdowns, the protocol, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metis_rise.benchmarks.figures import Figure
from metis_rise.benchmarks.result import Agreement, Result, dataset
from metis_rise.benchmarks.scoring import undecided

NAMED = 5
"""So many groups or rows are named; the others are counted."""


def show_result(result: Result, console: Console) -> None:
    """Prints the tables of one result, and under them how they came about."""
    console.print(_title(result))
    console.print(_headlines(result))
    for headline, labels in result.figures.breakdowns.items():
        for label, values in labels.items():
            console.print(_breakdown(f"{headline} by {label}", label, values))
    if result.figures.more:
        console.print(_more(result))
    for line in _notes(result):
        console.print(Text(_visible(line)), soft_wrap=True)
    console.print(Text(result.record.line(), style="dim"), soft_wrap=True)


def _title(result: Result) -> Text:
    benchmark = result.benchmark
    names = dict.fromkeys((benchmark.title, dataset(benchmark), result.model))
    rows = f"{result.figures.n} rows" if result.record.subset is None else f"subset {result.record.subset} rows"
    return Text(_visible(" · ".join([*filter(None, names), rows])), style="bold")


def _headlines(result: Result) -> Table:
    samples = result.figures.samples
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("score" if samples == 1 else f"mean@{samples}", "95 % interval", "groups"):
        table.add_column(name, justify="right", no_wrap=True)
    if samples > 1:
        table.add_column(f"pass@{samples}", justify="right", no_wrap=True)
    for name, figure in result.figures.headlines.items():
        best = [] if figure.best is None else [f"{figure.best:.1f}"]
        style = "bold" if name == result.figures.main else ""
        table.add_row(Text(name, style=style), Text(f"{figure.score:.2f}", style=style), *_rest(figure), *best)
    return table


def _breakdown(title: str, label: str, values: Mapping[str, Figure]) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(label)
    for name in ("score", "95 % interval", "groups"):
        table.add_column(name, justify="right", no_wrap=True)
    for value, figure in values.items():
        table.add_row(Text(_visible(value) or "-"), f"{figure.score:.1f}", *_rest(figure))
    return table


def _rest(figure: Figure) -> tuple[str, str]:
    return f"{figure.low:.1f} to {figure.high:.1f}", str(figure.groups)


def _more(result: Result) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("further figures")
    table.add_column("percent", justify="right", no_wrap=True)
    for name, value in result.figures.more.items():
        table.add_row(Text(name), f"{value:.1f}")
    return table


def _notes(result: Result) -> Iterator[str]:
    """What a reader must know before the score is used."""
    if bad := result.bad:
        yield f"rows that cannot be used: {len(bad)}: {'; '.join(list(bad.values())[:NAMED])}{_and_more(bad)}"
    left_out = result.scores.left_out
    if left_out:
        rows = sum(each.rows for each in left_out)
        named = "; ".join(f"{each.group}: {each.why}" for each in left_out[:NAMED])
        size = f"{_plural(len(left_out), 'group')} ({_plural(rows, 'row')})"
        yield f"left out: {size}: {named}{_and_more(left_out)}"
    if strangers := result.scores.strangers:
        yield f"not in the data: {_plural(len(strangers), 'prediction')}: {_indices(strangers)}"
    if empty := result.scores.empty:
        yield f"empty answers, counted as wrong: {len(empty)}: {_indices(empty)}"
    if unsaid := undecided(result.scores):
        yield f"the judge gave no usable reply, so the rules decided: {_plural(len(unsaid), 'row')}: {_indices(unsaid)}"
    if result.agreement is not None:
        yield from _agreement(result.agreement)


def _agreement(found: Agreement) -> Iterator[str]:
    yield f"the file's own verdicts: {found.agree} of {found.n} agree"
    if found.only_ours:
        yield f"  right only here: {_indices(found.only_ours)}"
    if found.only_theirs:
        yield f"  right only there: {_indices(found.only_theirs)}"


def _visible(text: str) -> str:
    """`text` on one line, without what a terminal would obey: cells of a file may hold anything."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _indices(found: Sequence[str]) -> str:
    return f"index {', '.join(found[:NAMED])}{_and_more(found)}"


def _and_more(found: Sized) -> str:
    return f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
