"""`from metis_rise import ...`: light until it is used, whole, and as docs/api.md and the docstrings show it."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import metis_rise
from metis_rise import InputError, judge, sample, world_problems

DOCS = Path(__file__).resolve().parents[2] / "docs"
LIGHT = "load_recipe, read_problems, read_run, judge, world_problems, Problem, Trajectory, InputError"


def test_importing_loads_nothing_heavy():
    code = f"""
import sys, metis_rise
assert not any(name.startswith("metis_rise.") for name in sys.modules), "something was imported at once"
from metis_rise import {LIGHT}
from metis_rise.rewards import accuracy_reward
assert not {{"torch", "transformers", "datasets", "pyarrow"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_offered_name_is_there_and_documented():
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in metis_rise.__all__:
        assert getattr(metis_rise, name) is not None
        assert name == "__version__" or f"`{name}" in page, f"docs/api.md does not name {name}"
    assert set(metis_rise.__all__) <= set(dir(metis_rise))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        metis_rise.nothing  # noqa: B018


def test_the_examples_of_the_page_are_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testfile(str(DOCS / "api.md"), module_relative=False)
    assert tried > 20 and failed == 0


@pytest.mark.parametrize("module", ["metis_rise.rewards"])
def test_the_examples_of_a_module_are_true(module: str):
    failed, tried = doctest.testmod(import_module(module))
    assert tried > 3 and failed == 0


def test_verify_takes_a_gold_answer_or_a_problem():
    problem = metis_rise.Problem("p", "Which?", "B", metis_rise.AnswerType.CHOICE, choices=("red", "blue"))
    assert judge("It is blue.", problem).correct and not judge("It is red.", problem).correct
    assert judge("blue", "B", answer_type="choice", choices=["red", "blue"]).correct
    assert not judge("\\boxed{4}", "4", strict=True).strict


def test_a_run_is_read_by_its_path_as_text(tmp_path: Path):
    (tmp_path / "run").mkdir()
    assert metis_rise.read_run(str(tmp_path / "run")).path == metis_rise.read_run(tmp_path / "run").path
    with pytest.raises(InputError, match="no such run folder"):
        metis_rise.read_run(str(tmp_path / "none"))


def test_samples_come_in_the_order_of_the_problems_and_are_judged(tmp_path: Path):
    problems = world_problems("test", 1, tmp_path)[:5]
    groups = sample("tiny", problems, tmp_path, n=2, max_tokens=24, seed=3)
    assert [group.problem for group in groups] == problems
    assert all(len(group.trajectories) == 2 and t.verdict is not None for group in groups for t in group.trajectories)
    again = sample("tiny", problems[1:2], tmp_path, n=2, max_tokens=24, seed=3)
    assert [t.text for t in again[0].trajectories] == [t.text for t in groups[1].trajectories]
    with pytest.raises(InputError, match="greedy completions"):
        sample("tiny", problems, tmp_path, n=2, temperature=0)
    with pytest.raises(InputError, match="2 problems have 1 ids"):
        sample("tiny", [problems[0]] * 2, tmp_path, max_tokens=2)
