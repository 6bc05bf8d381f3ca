"""The leaderboard's table: which figures stand in it, which are refused, and what is said of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from evaluated import METIS_7B, RECORD, SIX, evaluation, run, score_file
from fake_benchmark import Fake

from metis_rise.benchmarks.base import Row, Scored
from metis_rise.benchmarks.result import result
from metis_rise.benchmarks.scoring import Scores
from metis_rise.errors import InputError
from metis_rise.evaluation import targets
from metis_rise.evaluation.board.cells import Board, Gain, Line, one_decimal
from metis_rise.evaluation.board.entries import IN_RUN, own_entries, published_entries
from metis_rise.evaluation.board.notes import Notes
from metis_rise.evaluation.board.published import COLUMNS, published
from metis_rise.evaluation.board.scores import Score, read_scores
from metis_rise.evaluation.board.table import make_board
from metis_rise.types import Verdict


def board_of(*folders: Path, intervals: bool = False) -> Board:
    return make_board([*own_entries(folders), *published_entries()], intervals=intervals)


def line(board: Board, name: str) -> Line:
    found = [each for each in board.lines if each.name == name]
    assert len(found) == 1, [each.name for each in board.lines]
    return found[0]


def said(board: Board, marks: tuple[str, ...]) -> str:
    """The notes of `marks` as one text."""
    return " | ".join(text for mark, text in board.notes if mark in marks)


def figures(line: Line) -> list[str]:
    return [cell.text for cell in (line.mean, *line.cells)]


def test_the_mean_reproduces_every_published_row():
    rows = published()
    assert len(rows) == 20
    for row in rows:
        assert abs(sum(row.figures.values()) / 6 - row.mean) <= 0.05 + 1e-9, row.model


@pytest.mark.shared_data
def test_the_packaged_table_is_the_researched_one(shared_data: Path):
    with (shared_data / "published_scores.csv").open(encoding="utf-8") as file:
        researched = [
            {name: row[name] for name in ("model", "average", *COLUMNS.values())} for row in csv.DictReader(file)
        ]
    ours = [
        {"model": row.model, "average": one_decimal(row.mean)}
        | {title: one_decimal(row.figures[name]) for name, title in COLUMNS.items()}
        for row in published()
    ]
    assert ours == researched


def test_a_run_has_its_base_first_and_means_of_its_own(tmp_path: Path):
    board = board_of(run(tmp_path / "mine", rise=METIS_7B, base=dict.fromkeys(SIX, 40.0)))
    own = board.sections[0]
    assert own.heading == "evaluated here"
    assert [each.name for each in own.lines] == ["mine base", "mine after RISE"]
    assert figures(own.lines[0]) == ["40.0"] * 7
    # 46.35 exactly, which the published table has as 46.4.
    assert figures(own.lines[1]) == ["46.4", "75.8", "28.7", "51.0", "27.7", "45.2", "49.7"]
    assert figures(line(board, "Metis-RISE-7B")) == figures(own.lines[1])


def test_a_run_that_was_evaluated_elsewhere_has_its_base_too(tmp_path: Path):
    folder = run(tmp_path / "mine", rise=METIS_7B, base=dict.fromkeys(SIX, 40.0))
    (folder / IN_RUN).rename(tmp_path / "out")
    base, rise = board_of(tmp_path / "out").sections[0].lines
    assert (base.name, rise.name) == ("out base", "out after RISE") and rise.mean.gain is not None


def test_evaluations_of_a_run_are_looked_for_where_they_are_written():
    assert IN_RUN == targets.BENCHMARKS


def test_what_is_written_of_a_result_is_read(tmp_path: Path):
    fake = Fake()
    rows = [Row(str(n), {"question": "2 + 2", "answer": "4", "pair": str(n // 2)}, f"row {n}") for n in range(4)]
    scored = tuple(Scored(fake.item(row), (Verdict(True, True, "4", "box"),)) for row in rows)
    written = result(fake, Scores(scored, (), total=4, samples=1), RECORD, "my/model").to_json()
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "score.json").write_text(json.dumps(written))
    read = read_scores(tmp_path)
    assert read.model == "my/model"
    assert read.by_benchmark["fake"] == Score(100.0, 100.0, 100.0, RECORD, None)


def test_a_base_that_is_not_evaluated_is_shown_as_such(tmp_path: Path):
    folder = run(tmp_path / "mine", rise=METIS_7B)
    board = board_of(folder)
    base, rise = board.sections[0].lines
    assert base.name == "mine base" and figures(base) == ["-"] * 7
    assert rise.mean.gain is None
    assert f"base is not evaluated, do it with: rise eval {folder} " in said(board, board.sections[0].marks)


def test_no_mean_where_one_is_missing_or_was_evaluated_in_part(tmp_path: Path):
    lacking = evaluation(tmp_path / "lacking", {**METIS_7B, "wemath": None}, "lacking")
    score_file(evaluation(tmp_path / "part", METIS_7B, "part"), "dynamath", 30.0, "part", subset="100/5010")
    board = board_of(lacking, tmp_path / "part")
    without, part = line(board, "lacking"), line(board, "part")
    assert figures(without) == ["-", "75.8", "28.7", "51.0", "27.7", "-", "49.7"]
    assert said(board, without.mean.marks) == "no mean of six: WeMath missing"
    assert figures(part)[0] == "-" and part.cells[3].text == "30.0"
    assert said(board, part.mean.marks) == "no mean of six: DynaMath in part only"
    assert said(board, part.cells[3].marks).startswith("subset 100/5010: ")


def test_a_score_with_rows_left_out_is_in_no_mean(tmp_path: Path):
    file = evaluation(tmp_path / "e", METIS_7B) / "wemath" / "score.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"complete": False}))
    own = board_of(tmp_path / "e").sections[0].lines[0]
    assert own.mean.text == "-" and own.cells[4].text == "45.2"


def test_rows_of_different_protocols_are_marked(tmp_path: Path):
    folders = [
        evaluation(tmp_path / "a", METIS_7B, "a"),
        evaluation(tmp_path / "b", METIS_7B, "b"),
        evaluation(tmp_path / "c", METIS_7B, "c", style="vlmevalkit"),
    ]
    board = board_of(*folders)
    a, b, c = (line(board, name).marks for name in "abc")
    theirs = board.sections[-1].marks
    assert a == b and len({a, c, theirs}) == 3
    assert "protocol rule · style rise" in said(board, a) and "style vlmevalkit" in said(board, c)
    assert said(board, theirs).startswith("published, protocol not recorded: ")
    assert all(not each.marks for section in board.sections[1:] for each in section.lines)
    assert board.warning is not None
    assert board.warning.startswith(f"Notes {a[0]}, {c[0]}, {theirs[0]} are different protocols")
    assert make_board(published_entries()).warning is None


def test_a_figure_of_another_protocol_than_its_row_is_marked_and_so_is_the_mean(tmp_path: Path):
    folder = evaluation(tmp_path / "e", METIS_7B, "mixed")
    score_file(folder, "mathverse", 51.0, "mixed", protocol="judge", judge={"model": "referee"})
    board = board_of(folder)
    own = line(board, "mixed")
    assert "protocol rule" in said(board, own.marks)
    assert [bool(cell.marks) for cell in own.cells] == [False, False, True, False, False, False]
    assert "protocol judge by referee" in said(board, own.cells[2].marks)
    assert own.mean.text == "46.4" and said(board, own.mean.marks) == "a mean over figures of different protocols"


def test_other_data_and_answers_that_were_cut_are_noted(tmp_path: Path):
    first = evaluation(tmp_path / "a", METIS_7B, "a", data_md5="1" * 32, truncated=0.25)
    board = board_of(first, evaluation(tmp_path / "b", {"mathvista": 70.0}, "b", data_md5="2" * 32, truncated=0.0))
    a, b = line(board, "a"), line(board, "b")
    assert "MD5 " + "1" * 32 in said(board, a.cells[0].marks) and "MD5 " + "2" * 32 in said(board, b.cells[0].marks)
    assert a.cells[1].marks == ()
    assert "answers cut at the longest allowed: MathVista 25.0 %, " in said(board, a.marks)
    assert "answers cut" not in said(board, b.marks)


def test_gains_are_over_the_base_and_only_between_what_was_measured_alike(tmp_path: Path):
    folder = run(tmp_path / "mine", base=dict.fromkeys(SIX, 40.0), rl=dict.fromkeys(SIX, 43.0), rise=METIS_7B)
    score_file(folder / "benchmarks" / "rise", "mathvista", 75.8, style="vlmevalkit")
    base, rl, rise = board_of(folder).sections[0].lines
    assert base.mean.gain is None and base.cells[0].gain is None
    assert rl.mean.gain == Gain(3.0) and rl.cells[0].gain == Gain(3.0)  # intervals of 2 to each side overlap
    assert rise.cells[0].gain is None and rise.mean.gain is None
    assert [cell.gain.way for cell in rise.cells[1:] if cell.gain] == [-1, 1, -1, 1, 1]


def test_a_subset_gains_over_the_same_subset_only(tmp_path: Path):
    folder = run(tmp_path / "mine", base={}, rise={})
    for arm, percent, subset in (("base", 20.0, "8/1000"), ("rl", 30.0, "8/1000"), ("rise", 30.0, "9/1000")):
        score_file(folder / "benchmarks" / arm, "mathvista", percent, subset=subset)
    _, rl, rise = board_of(folder).sections[0].lines
    assert rl.cells[0].gain == Gain(10.0, 1) and rise.cells[0].gain is None


def test_intervals_are_shown_when_asked_for(tmp_path: Path):
    folder = evaluation(tmp_path / "e", METIS_7B, "m")
    assert line(board_of(folder), "m").cells[0].interval is None
    assert line(board_of(folder, intervals=True), "m").cells[0].interval == "73.8 to 77.8"


def test_other_benchmarks_are_named_and_stand_in_no_column(tmp_path: Path):
    board = board_of(evaluation(tmp_path / "e", {**METIS_7B, "world": 12.0}, "m"))
    assert line(board, "m").mean.text == "46.4"
    assert board.remarks == ("Evaluated as well, but none of the six: m: world.",)


def test_equal_names_are_told_apart_and_a_folder_counts_once(tmp_path: Path):
    first, second = evaluation(tmp_path / "a", METIS_7B, "m"), evaluation(tmp_path / "b", METIS_7B, "m")
    names = [each.name for each in board_of(first, second, tmp_path / "a" / ".." / "a").sections[0].lines]
    assert sorted(names) == sorted([f"m ({second})", f"m ({tmp_path / 'a' / '..' / 'a'})"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"score": 101.0}, "score is 101.0"),
        ({"score": "high"}, "score is 'high'"),
        ({"score": float("nan")}, "not a JSON object"),
        ({"score": True}, "score is True"),
        ({"protocol": None}, "protocol is None"),
        ({"protocol": {"style": 3}}, "style is 3"),
        ({"complete": 1}, "complete is 1"),
        ({"model": ["m"]}, "model is ['m']"),
        ({"benchmark": "mathvision"}, "second score of mathvision"),
    ],
)
def test_a_score_that_cannot_be_read_is_named(tmp_path: Path, change: dict[str, object], says: str):
    file = evaluation(tmp_path / "e", METIS_7B) / "wemath" / "score.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError) as caught:
        board_of(tmp_path / "e")
    assert str(file) in str(caught.value) and says in str(caught.value)


def test_a_file_that_is_no_json_and_a_folder_without_scores_say_what_to_do(tmp_path: Path):
    file = score_file(tmp_path / "e", "wemath", 1.0)
    file.write_text("{")
    with pytest.raises(InputError, match="not a JSON object; score again"):
        board_of(tmp_path / "e")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no score\.json .* rise eval MODEL --benchmark all"):
        board_of(tmp_path / "empty")
    with pytest.raises(InputError, match="no model of this run is evaluated; do it with: rise eval "):
        board_of(run(tmp_path / "run"))


def test_marks_go_on_after_z_and_equal_texts_share_one():
    notes = Notes()
    marks = [notes.mark(str(number)) for number in range(60)]
    assert marks[:2] == ["a", "b"] and marks[25:28] == ["z", "aa", "ab"] and marks[51:53] == ["az", "ba"]
    assert notes.mark("0") == "a" and len(notes.listed()) == 60
