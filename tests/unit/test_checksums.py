"""The checksum that ends each line of a journal."""

from __future__ import annotations

import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_rise.errors import InputError
from metis_rise.journal import append_jsonl, json_line, parse_line, parse_object, read_jsonl, scan_jsonl, write_jsonl
from metis_rise.stages.journals import by_problem, read_trajectories
from metis_rise.types import Trajectory

ROWS: list[dict[str, Any]] = [{"text": "first", "n": 1}, {"text": "sécond", "n": 2}, {"text": "third", "n": 3}]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.text() | st.just("crc32")


@given(st.dictionaries(names, json_values, max_size=4))
def test_a_line_gives_its_row_back_and_is_plain_json(row: dict[str, Any]):
    line = json_line(row)
    assert parse_line(line) == row
    assert json.loads(line).keys() == {*row, "crc32"}


def test_the_checksum_is_the_crc_32_of_what_stands_before_it():
    line = json_line({"a": 1, "b": [2]})
    assert line == b'{"a": 1, "b": [2], "crc32": "%08x"}\n' % zlib.crc32(b'{"a": 1, "b": [2]')


@settings(max_examples=300)
@given(st.dictionaries(st.text(), json_values, min_size=1, max_size=4), st.data())
def test_no_single_changed_byte_of_a_file_goes_unnoticed(row: dict[str, Any], data: st.DataObject):
    whole = json_line({"first": 0}) + json_line(row) + json_line({"last": 0})
    place = data.draw(st.integers(0, len(whole) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j.jsonl"
        path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        assert any(line.row is None or not line.checked for line in scan_jsonl(path))


def test_a_damaged_line_is_refused_by_file_and_row(tmp_path: Path):
    path = tmp_path / "j.jsonl"
    append_jsonl(path, ROWS)
    path.write_bytes(path.read_bytes().replace("sécond".encode(), "sécund".encode()))
    with pytest.raises(InputError, match=r"j\.jsonl row 2: .*checksum.*; restore the file"):
        read_jsonl(path)


def test_lines_of_an_older_version_are_read_and_may_be_followed_by_checked_ones_only(tmp_path: Path):
    path = tmp_path / "j.jsonl"
    write_jsonl(path, ROWS[:2], checked=False)
    assert read_jsonl(path) == ROWS[:2]
    append_jsonl(path, ROWS[2:])
    assert read_jsonl(path) == ROWS
    assert [line.checked for line in scan_jsonl(path)] == [False, False, True]
    with path.open("a", encoding="utf-8") as file:
        file.write('{"text": "by hand"}\n')
    with pytest.raises(InputError, match="row 4: has no checksum"):
        read_jsonl(path)


def test_a_last_line_that_is_torn_inside_is_dropped_and_cut_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "j.jsonl"
    append_jsonl(path, ROWS)
    # A block of the line never reached the disk.
    path.write_bytes(path.read_bytes().replace(b"third", b"\0\0\0\0\0").removesuffix(b"\n"))
    assert read_jsonl(path) == ROWS[:2]
    assert "row 3: torn last line" in capsys.readouterr().err
    append_jsonl(path, ROWS[2:])
    assert read_jsonl(path) == ROWS


def test_files_for_other_programs_have_no_checksum(tmp_path: Path):
    write_jsonl(tmp_path / "out.jsonl", ROWS, checked=False)
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()] == ROWS


def test_trajectories_are_checked_by_every_reader(tmp_path: Path):
    path = tmp_path / "t.jsonl"
    append_jsonl(path, [Trajectory("p", n, f"text {n}").to_json() for n in range(2)])
    assert [t.text for t in dict(by_problem(path, {"p"}))["p"]] == ["text 0", "text 1"]
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"text 0", b"text 7"))
    with pytest.raises(InputError, match=r"t\.jsonl row 1"):
        read_trajectories(path)
    with pytest.raises(InputError, match=r"t\.jsonl row 1"):
        list(by_problem(path, {"p"}))


def test_a_line_that_is_no_trajectory_is_refused_by_file_and_row(tmp_path: Path):
    path = tmp_path / "t.jsonl"
    append_jsonl(path, [Trajectory("p", 0, "text").to_json(), {"problem_id": "p"}])
    with pytest.raises(InputError, match=r"t\.jsonl row 2: not a trajectory"):
        read_trajectories(path)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\xff"}',
        b"[]",
        b"",
    ],
    ids=["NaN", "infinity", "a name twice", "deep", "very deep", "digits", "no UTF-8", "a list", "nothing"],
)
def test_what_no_writer_of_ours_writes_is_no_object_and_no_line_though_its_checksum_is_right(text: bytes):
    assert parse_object(text) is None
    body = text[:-1]
    assert parse_line(body + b', "crc32": "%08x"}\n' % zlib.crc32(body)) is None


def test_an_object_may_begin_with_a_byte_order_mark():
    assert parse_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
