"""The leaderboard on the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metis_rise.evaluation.board.cells import Board, Cell
from metis_rise.evaluation.board.plain import HEADINGS

_NAME = 22
_FIGURE = 6
"""Columns that a name and a figure keep on a narrow terminal."""
_STYLES = {"base": "bright_black", "rl": "blue", "rise": "yellow", "other": "bold"}


def print_board(board: Board, console: Console) -> None:
    """Prints the table, its footnotes, and what holds for all of it."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", overflow="fold", min_width=_NAME)
    for heading in HEADINGS:
        table.add_column(_in_two(heading), justify="right", min_width=_FIGURE)
    for section in board.sections:
        table.add_row(Text(section.heading, style="bold") + _marks(section.marks))
        for line in section.lines:
            name = Text(f"  {line.name}", style=_STYLES.get(line.role, "")) + _marks(line.marks)
            table.add_row(name, *map(_figure, (line.mean, *line.cells)))
        table.add_section()
    console.print(table)
    notes = Table.grid(padding=(0, 1))
    for mark, text in board.notes:
        notes.add_row(Text(f"[{mark}]"), Text(text, style="dim"))
    console.print(notes)
    for sentence in board.sentences:
        console.print(Text(sentence))


def _in_two(heading: str) -> str:
    """A heading over two lines where it is two words in one, so that the table fits a narrow terminal."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", heading)


def _figure(cell: Cell) -> Text:
    """Its marks stand before a figure, so that decimal points are in one line."""
    text = Text(f"{','.join(cell.marks)} " if cell.marks else "", style="dim") + Text(cell.text)
    return text if cell.interval is None else text + Text("\n" + cell.interval.replace(" to ", "\n"), style="dim")


def _marks(marks: Sequence[str]) -> Text:
    return Text(f" [{','.join(marks)}]" if marks else "", style="dim")
