"""The results file: what is packed comes back, what does not belong together is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ablation_rows import row, write
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.ablation.results import packed, read_rows, unpacked
from metis_rise.errors import InputError


@given(st.lists(st.integers(0, 1), max_size=40))
def test_single_answers_come_back(counts: list[int]):
    text = packed(counts, 1)
    assert unpacked(text, len(counts), 1) == counts and len(text) == -(-len(counts) // 4)


@given(st.integers(2, 35).flatmap(lambda k: st.tuples(st.just(k), st.lists(st.integers(0, k), max_size=20))))
def test_counts_of_several_answers_come_back(given_: tuple[int, list[int]]):
    samples, counts = given_
    assert unpacked(packed(counts, samples), len(counts), samples) == counts


def test_more_samples_than_a_character_counts_are_refused():
    with pytest.raises(ValueError, match="36 samples"):
        packed([1], 36)


def test_rows_come_back_with_their_rights(tmp_path: Path):
    file = write(tmp_path / "new" / "r.jsonl", row("rise", [1, 0, 1], [4, 0, 2], samples=4))
    (found,) = read_rows(file)
    assert (found.arm, found.cell, found.settings) == ("rise", ("tiny", 0), ())
    assert found.rights("test", "greedy") == [1, 0, 1] and found.rights("test", "sampled") == [1, 0, 0.5]


def test_the_problems_of_some_families_come_back(tmp_path: Path):
    (found,) = read_rows(write(tmp_path / "r.jsonl", row("rise", [1, 0, 1, 1], [4, 0, 2, 1], samples=4)))
    assert found.rights("test", "sampled", ["dial"]) == [0, 0.25]
    assert found.rights("test", "greedy", ["dial", "bars"]) == [0, 1, 1, 1]
    with pytest.raises(
        InputError, match="rise, base tiny, seed 0: no answers of the family cone on test; families: bars"
    ):
        found.rights("test", "greedy", ["cone"])


def test_there_are_no_rows_without_a_file(tmp_path: Path):
    assert read_rows(tmp_path / "none.jsonl") == []


def test_the_same_cell_of_two_arms_is_refused_and_one_that_is_there_twice_counts_once(tmp_path: Path):
    once = write(tmp_path / "once.jsonl", row("rise", [1]), row("rise", [1]), row("rise", [1], settings=["a=1"]))
    assert len(read_rows(once)) == 2
    twice = write(tmp_path / "twice.jsonl", row("rise", [1]), row("rise", [1], identity="two"))
    with pytest.raises(InputError, match="rise, base tiny, seed 0 is there twice, as two different arms"):
        read_rows(twice)


def test_a_line_of_something_else_is_named(tmp_path: Path):
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps({"arm": "rise"}) + "\n")
    with pytest.raises(InputError, match="row 1: no result of rise ablate"):
        read_rows(file)


ADD = """
import sys, time
from pathlib import Path
from metis_rise.ablation.results import append_row
file, first = Path(sys.argv[1]), int(sys.argv[2])
file.with_name(f"ready-{first}").touch()
while not file.with_name("go").exists():
    time.sleep(0.001)
for seed in range(first, first + 50):
    append_row(file, {"arm": "rise", "base": "tiny", "seed": seed, "identity": "one", "settings": [], "x": "y" * 50000})
"""


def test_processes_that_add_at_the_same_time_lose_nothing(tmp_path: Path):
    file, starts = tmp_path / "r.jsonl", (0, 100, 200)
    processes = [subprocess.Popen([sys.executable, "-c", ADD, str(file), str(first)]) for first in starts]
    while not all((tmp_path / f"ready-{first}").exists() for first in starts):
        assert [process.poll() for process in processes] == [None] * len(starts)
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(found.seed for found in read_rows(file)) == [first + n for first in starts for n in range(50)]
