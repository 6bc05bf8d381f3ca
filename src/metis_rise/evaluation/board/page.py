"""The leaderboard as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

from metis_rise.evaluation.board.cells import Board
from metis_rise.evaluation.board.entries import OWN
from metis_rise.evaluation.board.plain import HEADINGS
from metis_rise.report.html import environment


def page(board: Board) -> str:
    """The page of `board`. Names of models are escaped by the template engine."""
    template = environment().get_template("board.html.j2")
    gains = any(cell.gain for line in board.lines for cell in line.cells)
    return template.render(board=board, headings=HEADINGS, headline=_headline(board), gains=gains)


def _headline(board: Board) -> str:
    """What a RISE model gained, where there is one to say it of; else what the page holds."""
    found = [(line, line.mean.gain) for line in board.lines if line.role == "rise" and line.mean.gain is not None]
    if len(found) == 1:
        only, gain = found[0]
        return f"{only.name}: {only.mean.text} on average, {gain.points:+.1f} against its base"
    own = sum(len(section.lines) for section in board.sections if section.heading == OWN)
    return f"{own} model{'' if own == 1 else 's'} beside the published ones" if own else "The published table"
