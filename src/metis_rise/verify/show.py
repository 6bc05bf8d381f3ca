"""The outcome of a file of pairs on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metis_rise.verify.pairs import Judged, Outcome, by_kind

LONGEST = 120
"""So much of a gold answer or a prediction is shown."""


def show_outcome(outcome: Outcome, judged: Sequence[Judged], mode: str, console: Console) -> None:
    """Prints the agreement, a table by kind where the pairs have kinds, and every pair that differs.

    Args:
        outcome: of all pairs.
        judged: every pair with its verdict.
        mode: "lenient" or "strict".
        console: where to.
    """
    agree = outcome.n - len(outcome.differences)
    console.print(
        f"{mode}: {100 * outcome.agreement:.1f} % agreement ({agree} of {outcome.n} pairs), "
        f"{outcome.false_positives} false positives, {outcome.false_negatives} false negatives",
        highlight=False,
    )
    kinds = by_kind(judged)
    if set(kinds) != {""}:
        console.print(_kinds_table(kinds))
    for one in outcome.differences:
        _show_difference(one, console)


def _kinds_table(kinds: dict[str, Outcome]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("kind")
    for name in ("pairs", "agreement", "false positives", "false negatives"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, found in kinds.items():
        counts = (found.false_positives, found.false_negatives)
        table.add_row(Text(kind or "-"), str(found.n), f"{100 * found.agreement:.1f} %", *map(str, counts))
    return table


def _show_difference(judged: Judged, console: Console) -> None:
    pair, verdict = judged.pair, judged.verdict
    wrongly = "taken as right, should be wrong" if judged.matches else "taken as wrong, should be right"
    found = "nothing" if verdict.extracted is None else shown(verdict.extracted)
    console.print(Text.assemble((f"{pair.id}", "bold"), f"  {wrongly}", (f"  {pair.kind}", "dim")))
    rows = (
        ("gold", shown(pair.problem.answer)),
        ("prediction", shown(pair.prediction)),
        ("extracted", f"{found}  ({verdict.rule})"),
        ("reason", f"{verdict.code}, decided by: {verdict.reason}"),
    )
    for name, value in rows:
        console.print(Text.assemble((f"  {name:<12}", "dim"), value), soft_wrap=True)


def shown(text: str) -> str:
    """`text` on one line, its middle left out where it is long: answers stand at the end."""
    line = " ".join(text.split())
    half = LONGEST // 2
    return line if len(line) <= LONGEST else f"{line[:half]} … {line[-half:]}"
