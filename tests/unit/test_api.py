"""`from metis_rise import ...`: light until it is used, whole, and as docs/api.md and the docstrings show it."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import metis_rise
from metis_rise import InputError, judge, pipeline, sample, world_problems
from metis_rise.recipe import load_recipe, shipped_recipe

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
    assert judge("4", 4).correct and judge("0.50", 0.5).correct and not judge("5", 4).correct


@pytest.mark.parametrize("name", ["numbr", ""])
def test_an_unknown_answer_type_is_refused(name: str):
    with pytest.raises(InputError, match=f"^answer_type '{name}': known are choice, number, text and their aliases"):
        judge("4", "4", answer_type=name)


def test_a_recipe_to_run_is_a_name_a_file_or_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ran = []

    def run(recipe: metis_rise.Recipe, root: Path, name: str, fresh: bool) -> Path:
        ran.append((recipe, root, name, fresh))
        (root / name).mkdir(parents=True, exist_ok=True)
        return root / name

    monkeypatch.setattr(pipeline, "run", run)
    mine = tmp_path / "mine.yaml"
    mine.write_text(shipped_recipe("tiny"))
    for recipe in (mine, str(mine), "tiny"):
        metis_rise.run_recipe(recipe, ["rl.steps=7"], root=tmp_path)
    loaded = load_recipe("tiny", ["rl.steps=7"])
    assert metis_rise.run_recipe(loaded, root=tmp_path, name="other", fresh=True).path == tmp_path / "other"
    assert ran == [(loaded, tmp_path, "tiny", False)] * 3 + [(loaded, tmp_path, "other", True)]
    with pytest.raises(InputError, match="give them to load_recipe"):
        metis_rise.run_recipe(loaded, ["rl.steps=8"], root=tmp_path)
    assert len(ran) == 4


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
