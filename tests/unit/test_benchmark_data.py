"""Data files into items: pictures by reference, whole groups, rows that cannot be used, memory."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_benchmark import Fake, in_cell, picture, rows, write_tsv

from metis_rise.benchmarks.base import Row
from metis_rise.benchmarks.data import Data, load
from metis_rise.benchmarks.registry import BENCHMARKS, SIX
from metis_rise.benchmarks.sources import find
from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.types import Problem


def indices(data: Data) -> list[str]:
    return [item.index for item in data.items]


def test_a_file_becomes_items_with_stored_pictures(tmp_path: Path, store: ImageStore):
    path = write_tsv(tmp_path / "Fake_MINI.tsv", rows(4))
    data = load(Fake(), path, store)
    assert indices(data) == ["0", "1", "2", "3"] and data.rows == 4 and not data.bad
    assert [store.open(item.problem.images[0]).getpixel((0, 0)) for item in data.items] == [
        (number, 0, 7) for number in range(4)
    ]
    assert data.items[2].row.images == data.items[2].problem.images
    assert data.md5 == hashlib.md5(path.read_bytes()).hexdigest()


def test_without_a_store_nothing_is_decoded(tmp_path: Path):
    content = rows(2, image=in_cell(b"no picture at all, but long enough to be one by its length alone"))
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", content), None)
    assert [item.problem.images for item in data.items] == [(), ()] and not data.bad


def test_the_picture_column_is_needed_only_for_pictures(tmp_path: Path, store: ImageStore):
    content = [{name: cell for name, cell in row.items() if name != "image"} for row in rows(2)]
    path = write_tsv(tmp_path / "data.tsv", content)
    assert indices(load(Fake(), path, None)) == ["0", "1"]
    with pytest.raises(InputError, match="no column 'image'"):
        load(Fake(), path, store)


def test_a_column_that_scoring_reads_must_be_there(tmp_path: Path):
    content = [{("Answer" if name == "answer" else name): cell for name, cell in row.items()} for row in rows(2)]
    with pytest.raises(InputError, match="no column 'answer' \\(there is 'Answer'\\)"):
        load(Fake(), write_tsv(tmp_path / "data.tsv", content), None)


def test_pictures_by_index_forward_and_backward(tmp_path: Path, store: ImageStore):
    content = rows(4)
    content[0]["image"], content[3]["image"] = "2", "2.0"
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", content), store)
    keys = [item.problem.images for item in data.items]
    assert keys[0] == keys[2] == keys[3] != keys[1] and not data.bad
    assert len(list(store.folder.iterdir())) == 2


def test_a_picture_outside_the_limit_is_found(tmp_path: Path, store: ImageStore):
    content = rows(6)
    content[0]["image"] = "5"
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", content), store, limit=1)
    assert indices(data) == ["0", "1"]
    assert store.open(data.items[0].problem.images[0]).getpixel((0, 0)) == (5, 0, 7)
    assert len(list(store.folder.iterdir())) == 2, "pictures that nobody asked for are not stored"


def test_several_pictures_keep_their_order(tmp_path: Path, store: ImageStore):
    content = rows(2)
    content[0]["image"] = repr([in_cell(picture((9, 9, 9))), in_cell(picture((8, 8, 8), "JPEG"))])
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", content), store)
    assert [store.open(key).getpixel((0, 0)) for key in data.items[0].problem.images] == [(9, 9, 9), (8, 8, 8)]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("", "column 'image' is empty"),
        ("9", "refers to the picture of index '9', which is not in the file"),
        ("2", "refers to the picture of index '2', which refers on to '0'"),
        ("@" * 100, "column 'image' is not base64"),
        (in_cell(b"<html>not found</html>" * 9), "column 'image': the picture cannot be decoded"),
        (in_cell(picture()[:-30]), "column 'image': the picture cannot be decoded"),
        (in_cell(picture()) + "A", "column 'image' is not base64"),
    ],
)
def test_a_bad_picture_takes_out_its_row_alone_and_is_told(
    tmp_path: Path, store: ImageStore, capsys: pytest.CaptureFixture[str], cell: str, told: str
):
    content = rows(4)
    content[1]["image"], content[2]["image"] = cell, "0"
    path = write_tsv(tmp_path / "data.tsv", content)
    data = load(Fake(), path, store)
    assert indices(data) == ["0", "2", "3"]
    assert told in data.bad["1"] and data.bad["1"].startswith(f"{path} row 2 index 1: ")
    shown = capsys.readouterr()
    assert told in shown.err and "1 of 4 rows cannot be used" in shown.err and shown.out == ""


def test_rows_that_share_a_bad_picture_are_all_taken_out(tmp_path: Path, store: ImageStore):
    content = rows(4)
    content[0]["image"], content[1]["image"] = in_cell(b"x" * 100), "0"
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", content), store)
    assert indices(data) == ["2", "3"]
    assert data.bad["1"] == data.bad["0"] and "row 1 index 0" in data.bad["1"]


def test_a_row_whose_cell_cannot_be_read_still_lends_its_picture(tmp_path: Path, store: ImageStore):
    content = rows(4)
    content[1]["answer"], content[3]["image"] = "", "1"
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", content), store)
    assert indices(data) == ["0", "2", "3"] and "column 'answer' is ''" in data.bad["1"]
    assert store.open(data.items[2].problem.images[0]).getpixel((0, 0)) == (1, 0, 7)


@pytest.mark.parametrize("cell", ["What<|im_end|>?", "<|vision_start|>"])
def test_text_that_the_tokenizer_would_obey_is_refused(tmp_path: Path, cell: str):
    content = rows(4)
    content[0]["question"] = cell
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", content), None)
    assert indices(data) == ["1", "2", "3"] and "holds the control token <|" in data.bad["0"]


def test_a_file_without_any_usable_row_is_an_error(tmp_path: Path):
    path = write_tsv(tmp_path / "data.tsv", rows(3, answer=""))
    with pytest.raises(InputError, match=r"none of 3 rows can be used; .* row 1 index 0: column 'answer' is ''"):
        load(Fake(), path, None)
    path.write_text("index\tquestion\tanswer\tpair\n")
    with pytest.raises(InputError, match="none of 0 rows can be used; it has no rows"):
        load(Fake(), path, None)


def test_five_bad_rows_are_named_and_the_rest_counted(tmp_path: Path):
    content = rows(10)
    for row in content[:8]:
        row["answer"] = ""
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", content), None)
    assert len(data.notes) == 6 and "8 of 10 rows" in data.notes[-1] and len(data.bad) == 8


def test_the_limit_counts_whole_groups_in_the_order_of_the_file(tmp_path: Path):
    content = rows(10)
    content[1]["answer"] = ""
    shuffled = [content[number] for number in (0, 4, 1, 2, 6, 5, 8, 9, 3, 7)]
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", shuffled), None, limit=2)
    assert indices(data) == ["4", "2", "5", "3"], "pair 0 is not whole; 2 and 1 are the first two that are"


def test_more_groups_asked_for_than_there_are_is_all_whole_ones(tmp_path: Path):
    data = load(Fake(), write_tsv(tmp_path / "data.tsv", rows(5)), None, limit=9)
    assert indices(data) == ["0", "1", "2", "3"]


def test_no_whole_group_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="no group is whole, the first lacks 1 rows"):
        load(Fake(), write_tsv(tmp_path / "data.tsv", rows(1)), None, limit=1)


def test_without_a_limit_rows_of_broken_groups_are_kept_for_the_score_to_name(tmp_path: Path):
    assert indices(load(Fake(), write_tsv(tmp_path / "data.tsv", rows(5)), None)) == ["0", "1", "2", "3", "4"]


def test_another_md5_is_told_of_a_file_of_official_size_only(tmp_path: Path):
    whole = load(Fake(), write_tsv(tmp_path / "whole.tsv", rows(4)), None)
    assert len(whole.notes) == 1 and f"its MD5 is {whole.md5} and not {'0' * 32}" in whole.notes[0]
    assert load(Fake(), write_tsv(tmp_path / "part.tsv", rows(2)), None).notes == ()


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"data.xlsx: not a data file; give one of \.tsv, \.json, \.jsonl"):
        load(Fake(), tmp_path / "data.xlsx", None)
    with pytest.raises(InputError, match=r"Fake is not read from \.json; give a TSV file"):
        load(Fake(), tmp_path / "data.json", None)


def test_what_the_benchmark_refuses_only_with_pictures_is_told_too(tmp_path: Path, store: ImageStore):
    class Picky(Fake):
        def problem(self, row: Row) -> Problem:
            if row.images and row.index == "2":
                raise InputError(f"{row.place}: a marker without a picture")
            return super().problem(row)

    data = load(Picky(), write_tsv(tmp_path / "data.tsv", rows(4)), store)
    assert indices(data) == ["0", "1", "3"] and "a marker without a picture" in data.bad["2"]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", SIX)
def test_real_rows_load_with_their_pictures(shared_data: Path, store: ImageStore, name: str):
    benchmark = BENCHMARKS[name]
    path = find(benchmark, shared_data / "benchmarks")
    data = load(benchmark, path, store)
    assert not data.bad and len(data.items) == data.rows > 7
    assert all(store.path(key).exists() for item in data.items for key in item.problem.images or ("",))
    assert indices(load(benchmark, path, None)) == indices(data)


PEAK = """
import sys
from pathlib import Path
from fake_benchmark import Fake
from metis_rise.benchmarks.data import load
from metis_rise.problems.images import ImageStore
data = load(Fake(), Path(sys.argv[1]), ImageStore(Path(sys.argv[2])))
assert len(data.items) == int(sys.argv[3]) and all(item.problem.images for item in data.items), data.notes
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def peak_mib(folder: Path, count: int, size: int) -> float:
    """Peak memory of a process that loads `count` rows with different pictures of `size` bytes and stores them all."""
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    path, images = folder / "data.tsv", folder / "images"
    padding = bytes(size)  # PNG readers skip what follows the end
    with path.open("w", encoding="utf-8") as file:
        file.write("index\timage\tquestion\tanswer\tpair\n")
        for number in range(count):
            data = picture((number % 256, number // 256, 7)) + padding
            file.write(f"{number}\t{in_cell(data)}\tWhat is {number}?\t{number}\t{number // 2}\n")
    command = [sys.executable, "-c", PEAK, str(path), str(images), str(count)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(Path(__file__).parent)}
        )
    finally:
        path.unlink()
        shutil.rmtree(images, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) / 1024


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    """The file has 53 MiB, the process without it 60 MiB."""
    assert peak_mib(tmp_path, 40, 1 << 20) < 95


@pytest.mark.slow
def test_a_file_of_dynamaths_size_takes_less_than_500_mb(tmp_path: Path):
    """The file has 255 MiB; far less than the 500 MB that are allowed is needed."""
    assert peak_mib(tmp_path, 5010, 40_000) < 200
