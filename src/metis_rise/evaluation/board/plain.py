"""The leaderboard as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from metis_rise.evaluation.board.cells import Board, Cell, Line, Section, one_decimal
from metis_rise.evaluation.board.published import COLUMNS

HEADINGS = ("Mean", *COLUMNS.values())


def markdown(board: Board) -> str:
    """A table that GitHub shows, with its footnotes below."""
    rows = [_row(["Model", *HEADINGS]), _row([":--", *["--:"] * len(HEADINGS)])]
    for section in board.sections:
        rows.append(_row([f"*{_escaped(section.heading)}*{_marks(section.marks)}", *[""] * len(HEADINGS)]))
        for line in section.lines:
            name = _escaped(line.name) + _marks(line.marks)
            rows.append(_row([name, *map(_figure, (line.mean, *line.cells))]))
    notes = [f"- {_marks((mark,))} {_escaped(text)}" for mark, text in board.notes]
    paragraphs = ["\n".join(rows), "\n".join(notes), *map(_escaped, board.sentences)]
    return "\n\n".join(paragraphs) + "\n"


def comma_separated(board: Board) -> str:
    """A row per model.

    What is not known is empty, intervals have columns of their own, notes are spelled out.
    """
    intervals = any(cell.interval for line in board.lines for cell in line.cells)
    bounds = [f"{title} {end}" for title in COLUMNS.values() for end in ("low", "high")] if intervals else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["section", "model", "folder", *HEADINGS, *bounds, "notes"])
    for section in board.sections:
        for line in section.lines:
            figures = [_number(cell.percent) for cell in (line.mean, *line.cells)]
            ends = [_number(end) for cell in line.cells for end in (cell.low, cell.high)] if intervals else []
            writer.writerow([section.heading, line.name, line.origin, *figures, *ends, _spelled(section, line, board)])
    return text.getvalue()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(cell: Cell) -> str:
    interval = f" [{cell.interval}]" if cell.interval else ""
    return cell.text + interval + _marks(cell.marks)


def _marks(marks: Sequence[str]) -> str:
    return f"<sup>{' '.join(marks)}</sup>" if marks else ""


def _escaped(text: str) -> str:
    """`text` on one line, with nothing left that Markdown or HTML would act on."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", line)


def _number(percent: float | None) -> str:
    return "" if percent is None else one_decimal(percent)


def _spelled(section: Section, line: Line, board: Board) -> str:
    """The notes that hold for a line, those of single figures with the column's name."""
    texts = dict(board.notes)
    whole = [texts[mark] for mark in (*section.marks, *line.marks, *line.mean.marks)]
    single = [
        f"{title}: {texts[mark]}"
        for title, cell in zip(COLUMNS.values(), line.cells, strict=True)
        for mark in cell.marks
    ]
    return " | ".join([*whole, *single])
