"""The leaderboard in its formats: the same figures, safe whatever a model is called."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from evaluated import METIS_7B, SIX, evaluation, run, score_file
from rich.console import Console

from metis_rise.errors import InputError
from metis_rise.evaluation.board.cells import Board
from metis_rise.evaluation.board.command import leaderboard
from metis_rise.evaluation.board.entries import own_entries, published_entries
from metis_rise.evaluation.board.page import page
from metis_rise.evaluation.board.plain import comma_separated, markdown
from metis_rise.evaluation.board.table import make_board
from metis_rise.evaluation.board.terminal import print_board

ATTACK = "<script>|[x](y) *b* `c` [bold]"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    mine = run(tmp_path / "mine", base=dict.fromkeys(SIX, 40.0), rise=METIS_7B)
    odd = score_file(evaluation(tmp_path / "odd", METIS_7B, ATTACK), "wemath", 41.2, ATTACK, subset="300/1740").parents[
        1
    ]
    return make_board([*own_entries([mine, odd]), *published_entries()], intervals=True)


def shown(board: Board, width: int) -> str:
    text = io.StringIO()
    print_board(board, Console(file=text, width=width))
    return text.getvalue()


def test_markdown_has_a_row_per_model_and_escapes_names(board: Board):
    text = markdown(board)
    table = [row for row in text.splitlines() if row.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in table]
    assert {len(row) for row in cells} == {8}
    assert len(table) == 2 + len(board.sections) + len(board.lines)
    assert "<script" not in text and "`c`" not in text.replace("\\`", "") and "](y)" not in text.replace("\\]", "")
    mine = next(row for row in table if row.startswith("| mine after RISE"))
    assert "| 46.4 | 75.8 [73.8 to 77.8] |" in mine
    assert "41.2 [39.2 to 43.2]<sup>" in text and "no mean of six: WeMath in part only" in text
    assert "are different protocols" in text


def test_csv_reads_back_and_spells_its_notes(board: Board):
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(comma_separated(board)))}
    assert len(rows) == len(board.lines)
    assert rows["mine after RISE"]["Mean"] == "46.4" and rows["mine after RISE"]["MathVista low"] == "73.8"
    assert rows[ATTACK]["Mean"] == "" and rows[ATTACK]["WeMath"] == "41.2"
    assert "WeMath: subset 300/1740" in rows[ATTACK]["notes"] and "style rise" in rows[ATTACK]["notes"]
    theirs = rows["Qwen2.5-VL-7B"]
    assert theirs["section"].startswith("published") and "protocol not recorded" in theirs["notes"]
    assert theirs["MathVista low"] == ""


def test_csv_has_no_bounds_where_no_intervals_are_asked_for():
    assert "low" not in comma_separated(make_board(published_entries())).splitlines()[0]


class Page(HTMLParser):
    """The tags of a page, checked to be closed in order; ids and the links to them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.add(value or "")
            if name == "href":
                self.links.add((value or "").removeprefix("#"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_by_itself_and_safe(board: Board):
    text = page(board)
    parser = Page()
    parser.feed(text)
    assert parser.open == []
    assert not {"script", "link", "img", "iframe"} & parser.seen
    assert re.findall(r"url\(|@import|https?://", text) == []
    assert parser.links and parser.links <= parser.ids
    assert ATTACK in unescape(text)
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text


def test_the_page_says_what_was_gained(board: Board):
    text = page(board)
    assert "<h1>mine after RISE: 46.4 on average, +6.4 against its base</h1>" in text
    assert '<span class="gain up"><b>+35.8</b></span>' in text
    assert '<span class="gain down"><b>-11.3</b></span>' in text
    assert "<h1>The published table</h1>" in page(make_board(published_entries()))


@pytest.mark.parametrize("width", [80, 140])
def test_the_terminal_shows_every_figure_in_its_width(board: Board, width: int):
    text = shown(board, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    rows = [row.split()[-7:] for row in text.splitlines()]
    whole = [line for line in board.lines if line.mean.percent is not None]
    assert len(whole) == 22
    assert [line.name for line in whole if [cell.text for cell in (line.mean, *line.cells)] not in rows] == []
    assert "are different protocols" in " ".join(text.split())


def test_names_are_no_markup_on_the_terminal(board: Board):
    assert "[bold]" in "".join(shown(board, 140).split())


def test_the_ending_says_the_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mine = evaluation(tmp_path / "mine", METIS_7B, "m")
    for name, start in (("b.md", "| Model |"), ("b.csv", "section,"), ("b.html", "<!doctype html>")):
        leaderboard([mine], form=None, out=tmp_path / name, intervals=False)
        assert (tmp_path / name).read_text().startswith(start)
        assert "21 models" in capsys.readouterr().out
    leaderboard([mine], form="csv", out=None, intervals=False)
    assert capsys.readouterr().out == (tmp_path / "b.csv").read_text()
    with pytest.raises(InputError, match=r"--out .*b\.txt: the ending says no format; add --format md or csv or html"):
        leaderboard([mine], form=None, out=tmp_path / "b.txt", intervals=False)
