"""What differs between two runs, and whether the difference is more than noise."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fake_run import make_run
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from metis_rise.cli import app
from metis_rise.look.compare import compare_runs
from metis_rise.look.compare_tables import print_comparison
from metis_rise.look.paired import paired
from metis_rise.run import read_jsonl, write_jsonl


def split(both: int, first: int, second: int, neither: int) -> list[tuple[bool, bool]]:
    return [(True, True)] * both + [(True, False)] * first + [(False, True)] * second + [(False, False)] * neither


def test_mcnemar_agrees_with_worked_values():
    # 2 * (1 + 8 + 28) / 256 for a split of 2 against 6.
    assert paired(split(5, 2, 6, 7)).p == pytest.approx(74 / 256)
    assert paired(split(5, 0, 6, 0)).p == pytest.approx(2 / 64)
    assert paired(split(9, 0, 0, 9)).p == 1.0 and paired(split(1, 4, 4, 1)).p == 1.0
    assert paired([]) is None


@given(st.integers(0, 4), st.integers(0, 5), st.integers(0, 5), st.integers(0, 4))
def test_p_is_the_share_of_equally_likely_splits_that_are_as_uneven(both: int, first: int, second: int, neither: int):
    if (found := paired(split(both, first, second, neither))) is None:
        return
    n, uneven = first + second, abs(first - second)
    splits = [abs(n - 2 * sum(sides)) >= uneven for sides in product((0, 1), repeat=n)]
    assert found.p == pytest.approx(sum(splits) / len(splits))
    assert found.low <= found.difference <= found.high or min(both, neither) == 0
    assert -1 <= found.low <= found.high <= 1


def test_p_of_many_problems_is_a_number():
    assert 0 <= paired(split(0, 3000, 1000, 0)).p < 1e-200


def test_swapping_the_runs_turns_the_difference_round():
    one, two = paired(split(10, 3, 9, 8)), paired(split(10, 9, 3, 8))
    assert (one.difference, one.low, one.high, one.p) == pytest.approx((-two.difference, -two.high, -two.low, two.p))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs on the same problems; the second differs in a setting and answers all right after RISE, greedy."""
    first = make_run(tmp_path_factory.mktemp("runs") / "first", problems=60, steps=30)
    second = Path(shutil.copytree(first, first.parent / "second"))
    recipe = json.loads((first / "recipe.json").read_text())
    recipe["rl"]["group_size"] = 16
    (second / "recipe.json").write_text(json.dumps(recipe | {"name": "other"}))
    file = second / "6-evaluate" / "rise-greedy.jsonl"
    rows = read_jsonl(file)
    for row in rows:
        row["verdict"] |= {"correct": True, "well_formed": True}
    write_jsonl(file, rows)
    summary = json.loads((second / "summary.json").read_text())
    summary["arms"]["rise"]["greedy"] |= {"accuracy": 1.0, "low": 0.94, "high": 1.0}
    (second / "summary.json").write_text(json.dumps(summary))
    return first, second


def test_scores_are_compared_on_the_same_problems(runs: tuple[Path, Path]):
    found = compare_runs(*runs)
    tests = {(pair.arm, pair.mode): pair.test for pair in found.scores}
    assert len(tests) == 6 and found.shared == 60
    raised = tests["rise", "greedy"]
    wrong = sum(not (r["verdict"]["correct"] and r["verdict"]["well_formed"]) for r in answers(runs[0]))
    assert (raised.n, raised.only_first, raised.only_second) == (60, 0, wrong)
    assert raised.beyond_noise and raised.low > 0
    same = tests["rl", "sampled"]
    assert (same.difference, same.p) == (0.0, 1.0) and same.low < 0 < same.high


def answers(run: Path) -> list[dict[str, Any]]:
    return read_jsonl(run / "6-evaluate" / "rise-greedy.jsonl")


def test_settings_that_differ_are_named_and_the_runs_names_are_not(runs: tuple[Path, Path]):
    assert compare_runs(*runs).settings == {"rl.group_size": ("8", "16")}


def test_a_problem_that_is_another_under_the_same_id_is_not_a_pair(runs: tuple[Path, Path], tmp_path: Path):
    other = Path(shutil.copytree(runs[1], tmp_path / "other"))
    rows = read_jsonl(other / "problems" / "test.jsonl")
    rows[0]["question"] += " Or not?"
    write_jsonl(other / "problems" / "test.jsonl", rows[:-1])
    found = compare_runs(runs[0], other)
    assert (found.shared, found.tested) == (58, (60, 59))
    assert {pair.test.n for pair in found.scores} == {58}


def test_benchmarks_are_compared_row_by_row(runs: tuple[Path, Path], tmp_path: Path):
    sides = [Path(shutil.copytree(run, tmp_path / run.name)) for run in runs]
    for number, side in enumerate(sides):
        home = side / "benchmarks" / "rl" / "mathvista"
        home.mkdir(parents=True)
        score = {"benchmark": "mathvista", "title": "MathVista", "score": 50.0 + number, "n": 8, "complete": True}
        (home / "score.json").write_text(
            json.dumps(score | {"metrics": {"headlines": {"all": {"low": 1, "high": 99}}}})
        )
        verdicts = [{"index": str(i), "gold": "1", "verdicts": [{"correct": i < 4 + 2 * number}]} for i in range(8)]
        write_jsonl(home / "verdicts.jsonl", verdicts)
    (pair,) = compare_runs(*sides).benchmarks
    assert (pair.title, pair.arm, pair.first.percent, pair.second.percent) == ("MathVista", "rl", 50.0, 51.0)
    assert (pair.test.n, pair.test.only_first, pair.test.only_second) == (8, 0, 2)


@pytest.mark.parametrize("width", [80, 200])
def test_the_tables_fit_and_say_what_matters(runs: tuple[Path, Path], width: int):
    console = Console(width=width, color_system=None)
    with console.capture() as found:
        print_comparison(*runs, console)
    said = found.get()
    assert "<0.001" in said and "rl.group_size" in said and "60 of 60 and 60 test problems" in " ".join(said.split())
    assert "…" not in said


def test_json_has_all_of_it_and_other_folders_are_refused(runs: tuple[Path, Path], tmp_path: Path):
    done = CliRunner().invoke(app, ["compare", *map(str, runs), "--json"])
    found = json.loads(done.stdout)
    assert found["settings"] == {"rl.group_size": ["8", "16"]} and len(found["scores"]) == 6
    assert found["scores"][0]["test"]["n"] == 60
    refused = CliRunner().invoke(app, ["compare", str(runs[0]), str(tmp_path)])
    assert refused.exit_code == 2 and "no run folder" in refused.output
