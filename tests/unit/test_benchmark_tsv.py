"""The reader of VLMEvalKit's TSV files against pandas, and against files that would corrupt a score."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from fake_benchmark import in_cell, picture, rows, write_tsv
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.benchmarks import tsv
from metis_rise.benchmarks.base import Row
from metis_rise.benchmarks.tsv import Line
from metis_rise.errors import InputError

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), min_size=1, max_size=20)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_what_pandas_writes_is_read_to_the_letter(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
):
    path = tmp_path_factory.mktemp("tsv") / "data.tsv"
    table = pd.DataFrame(pairs, columns=["question", 'the "answer"'])
    table.insert(0, "index", range(len(pairs)))
    table.to_csv(path, sep="\t", index=False)
    found = [(line.row["question"], line.row['the "answer"']) for line in tsv.lines(path)]
    assert found == pairs


def test_rows_have_their_place_their_index_and_no_picture(tmp_path: Path):
    path = write_tsv(tmp_path / "data.tsv", rows(2))
    first, second = tsv.lines(path)
    assert first.row.place == f"{path} row 1 index 0"
    assert second.row.index == second.row["index"] == "1"
    assert "image" not in second.row.cells and list(second.row.cells) == ["index", "question", "answer", "pair"]
    assert first.picture == rows(1)[0]["image"]


def test_a_file_without_pictures_is_read(tmp_path: Path):
    content = [{name: cell for name, cell in row.items() if name != "image"} for row in rows(1)]
    assert next(tsv.lines(write_tsv(tmp_path / "data.tsv", content))).picture is None


def test_a_byte_order_mark_windows_lines_blank_lines_and_a_column_of_row_numbers_are_no_fault(tmp_path: Path):
    path = tmp_path / "data.tsv"
    path.write_bytes(b'\xef\xbb\xbf\tindex\tquestion\r\n0\t7\ta\r\n\r\n1\t8\t"b\r\nc"\r\n')
    assert [line.row.cells for line in tsv.lines(path)] == [
        {"index": "7", "question": "a"},
        {"index": "8", "question": "b\r\nc"},
    ]


@pytest.mark.parametrize(
    ("written", "index"),
    [
        ("17", "17"),
        ("17.0", "17"),
        (" 017 ", "17"),
        ("v1_2", "v1_2"),
        ("1.5", "1.5"),
        ("-3", "-3"),
        ("9" * 30, "9" * 30),
    ],
)
def test_an_index_is_the_same_however_a_table_prints_it(written: str, index: str):
    assert tsv.normal_index(written) == index


def content(*lines: str) -> bytes:
    return "\n".join(["index\tquestion\timage", *lines, ""]).encode()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is empty"),
        (b"index\tquestion\tindex\n1\ta\t2\n", "the column 'index' comes twice"),
        (b"idx\tquestion\n1\ta\n", "no column 'index' \\(there is 'idx'\\); the file has 'idx', 'question'"),
        (b"index,question\n1,a\n", "no column 'index'"),
        (content("1\ta\tX", "1\tb\tX"), "row 2: index '1' is already used in row 1"),
        (content("1\ta\tX", "01.0\tb\tX"), "row 2: index '1' is already used in row 1"),
        (content("1\ta\tX", " \tb\tX"), "row 2: the index is ''"),
        (content('"a\nb"\ta\tX'), "row 1: the index is 'a\\\\nb'"),
        (content("1\ta\tX", "2\tb"), "row 2: 2 cells where the first line has 3"),
        (content("1\ta\tX\tY"), "row 1: 4 cells where the first line has 3"),
        (content("1\ta\tX", '2\t"b\tX'), "row 2: not quoted as pandas quotes"),
        (content('1\t"a" b\tX'), "row 1: not quoted as pandas quotes"),
        (content("1\ta\tX") + b"2\t\xff\tX\n", "not UTF-8"),
    ],
)
def test_a_file_that_would_corrupt_a_score_is_refused(tmp_path: Path, data: bytes, told: str):
    path = tmp_path / "data.tsv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=told) as caught:
        list(tsv.lines(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_cell_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tsv, "MAX_CELL", 1000)
    path = write_tsv(tmp_path / "data.tsv", rows(2, question="x" * 1001))
    with pytest.raises(InputError, match=r"row 1: .*field larger than field limit"):
        list(tsv.lines(path))
    csv.field_size_limit(1 << 17)


@pytest.mark.parametrize(("name", "told"), [("none.tsv", "there is no such file"), (".", "cannot be read")])
def test_no_file_and_a_folder_are_named(tmp_path: Path, name: str, told: str):
    with pytest.raises(InputError, match=told):
        list(tsv.lines(tmp_path / name))


@pytest.mark.parametrize(
    "cell",
    [
        in_cell(picture()),
        "data:image/png;base64," + in_cell(picture()),
        "\n".join(in_cell(picture())[i : i + 76] for i in range(0, 400, 76)),
        repr([in_cell(picture())]),
    ],
)
def test_a_picture_however_its_base64_is_wrapped(cell: str):
    assert tsv.pictures(Line(Row("1", {}, "here"), cell)) == [picture()]


def test_several_pictures_are_a_list():
    both = [picture(), picture((1, 2, 3), "JPEG")]
    cell = repr([in_cell(each) for each in both])
    assert tsv.pictures(Line(Row("1", {}, "here"), cell)) == both


@pytest.mark.parametrize("cell", ["x" * 101, "*" * 80, repr(["ok==", "not base64 at all" * 9])])
def test_a_cell_that_is_no_base64_is_named(cell: str):
    with pytest.raises(InputError, match=r"^here: column 'image' is not base64"):
        tsv.pictures(Line(Row("1", {}, "here"), cell))


def test_a_reference_is_a_short_cell():
    assert tsv.reference("17.0") == "17"
    assert tsv.reference("x" * 64) == "x" * 64
    assert tsv.reference("x" * 65) is None


def test_a_reference_goes_one_hop():
    pictured = {"1": "", "2": "1", "3": "2", "4": "9", "5": "5"}
    assert tsv.resolve(pictured, "2") is None
    assert "refers on to '1'" in (tsv.resolve(pictured, "3") or "")
    assert "index '9', which is not in the file" in (tsv.resolve(pictured, "4") or "")
    assert "refers on to '5'" in (tsv.resolve(pictured, "5") or "")
