"""Benchmarks by name, and where their files are looked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fake_benchmark import Fake

from metis_rise.benchmarks.registry import BENCHMARKS, SIX, find
from metis_rise.benchmarks.sources import VARIABLE
from metis_rise.benchmarks.sources import find as find_file
from metis_rise.errors import InputError

OFFICIAL = {
    "mathvista": ("MathVista_MINI", 1000, 1000),
    "mathvision": ("MathVision", 3040, 3040),
    "mathverse": ("MathVerse_MINI_Vision_Only", 788, 788),
    "dynamath": ("DynaMath", 5010, 501),
    "wemath": ("WeMath", 1740, 525),
    "logicvista": ("LogicVista", 447, 447),
}


def test_the_six_have_their_official_sizes():
    assert tuple(OFFICIAL) == SIX
    known = {name: BENCHMARKS[name].known for name in SIX}
    assert {name: (k.dataset, k.rows, k.groups) for name, k in known.items() if k is not None} == OFFICIAL
    assert all(k is not None and re.fullmatch("[0-9a-f]{32}", k.md5) for k in known.values())


@pytest.mark.parametrize("name", SIX)
def test_a_benchmark_is_found_by_any_of_its_names(name: str):
    benchmark = BENCHMARKS[name]
    assert benchmark.known is not None
    spellings = [name, benchmark.title, benchmark.known.dataset, *benchmark.known.also_called]
    for spelling in spellings:
        for written in (spelling, spelling.upper(), spelling.replace("_", "-"), f" {spelling} "):
            assert find(written) is benchmark


def test_our_own_problems_are_benchmarks_too():
    assert find("World").name == "world" and find("jsonl").name == "jsonl"


@pytest.mark.parametrize(("name", "near"), [("MathVisa", "mathvista"), ("dynamth", "dynamath"), ("we maths", "wemath")])
def test_an_unknown_name_gets_the_nearest(name: str, near: str):
    with pytest.raises(InputError, match=f"no benchmark is called '{name}'; did you mean {near}\\? known: mathvista, "):
        find(name)


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(
        InputError, match="'GSM'; known: mathvista, mathvision, mathverse, dynamath, wemath, logicvista"
    ):
        find("GSM")


def test_the_file_is_the_given_one_or_that_of_the_folder(tmp_path: Path):
    (tmp_path / "Fake_testmini.tsv").touch()
    assert find_file(Fake(), tmp_path) == tmp_path / "Fake_testmini.tsv"
    (tmp_path / "Fake_MINI.tsv").touch()
    assert find_file(Fake(), tmp_path) == tmp_path / "Fake_MINI.tsv"
    assert find_file(Fake(), tmp_path / "Fake_testmini.tsv") == tmp_path / "Fake_testmini.tsv"


@pytest.mark.parametrize("name", ["testmini.json", "data/testmini.json"])
def test_the_authors_file_is_found_where_they_keep_it(tmp_path: Path, name: str):
    (tmp_path / "data").mkdir()
    (tmp_path / name).touch()
    assert find_file(Fake(), tmp_path) == tmp_path / name


def test_without_data_vlmevalkits_folder_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path / "home"
    (home / "LMUData").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv(VARIABLE, raising=False)
    (home / "LMUData" / "Fake_MINI.tsv").touch()
    assert find_file(Fake(), None) == home / "LMUData" / "Fake_MINI.tsv"
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "Fake_MINI.tsv").touch()
    assert find_file(Fake(), None) == tmp_path / "Fake_MINI.tsv"


@pytest.mark.parametrize("name", ["", "none.tsv", "none/"])
def test_a_missing_file_says_where_to_get_it(tmp_path: Path, name: str):
    with pytest.raises(InputError) as caught:
        find_file(Fake(), tmp_path / name)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / name)) and "\n" not in message
    assert "https://example.org/Fake_MINI.tsv" in message and "MD5 " + "0" * 32 in message and "--data" in message


def test_the_world_needs_no_file_and_a_problem_file_must_be_given(tmp_path: Path):
    assert find_file(BENCHMARKS["world"], None) is None
    assert find_file(BENCHMARKS["world"], tmp_path) is None
    for data in (None, tmp_path):
        with pytest.raises(InputError, match=r"give it with --data FILE\.jsonl"):
            find_file(BENCHMARKS["jsonl"], data)
    with pytest.raises(InputError, match="there is no such file or folder; give the path of a JSONL file"):
        find_file(BENCHMARKS["jsonl"], tmp_path / "none.jsonl")
