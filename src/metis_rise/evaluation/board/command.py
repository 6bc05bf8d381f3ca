"""What `rise leaderboard` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from metis_rise.errors import InputError
from metis_rise.evaluation.board.cells import Board
from metis_rise.evaluation.board.entries import own_entries, published_entries
from metis_rise.evaluation.board.page import page
from metis_rise.evaluation.board.plain import comma_separated, markdown
from metis_rise.evaluation.board.table import make_board
from metis_rise.evaluation.board.terminal import print_board
from metis_rise.journal import write_atomic

FORMATS: Mapping[str, Callable[[Board], str]] = {"md": markdown, "csv": comma_separated, "html": page}


def leaderboard(folders: Sequence[Path], *, form: str | None, out: Path | None, intervals: bool) -> None:
    """Prints or writes the table of the models in `folders` beside the published ones.

    Args:
        folders: run folders and evaluation folders.
        form: a key of `FORMATS`; where None the ending of `out` says it, and without `out` the terminal gets a table.
        out: the file to write; standard output where None.
        intervals: show 95 % intervals where they are known.

    Raises:
        InputError: a folder without scores, a score that cannot be read, or an `out` whose ending says no format.
    """
    if form is None and out is not None:
        form = out.suffix.removeprefix(".")
        if form not in FORMATS:
            raise InputError(f"--out {out}: the ending says no format; add --format {' or '.join(FORMATS)}")
    board = make_board([*own_entries(folders), *published_entries()], intervals=intervals)
    if form is None:
        print_board(board, Console())
    elif out is None:
        print(FORMATS[form](board), end="")
    else:
        write_atomic(out, FORMATS[form](board))
        print(f"{out}: {len(board.lines)} models")
