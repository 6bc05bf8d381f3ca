"""`rise init`: recipes that load, differ from the shipped ones in what was asked for, and are never overwritten."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from drawings import drawing, in_file
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from typer.testing import CliRunner

from metis_rise.cli import app
from metis_rise.cluster.facts import find_facts
from metis_rise.cluster.prompts import prompts_of
from metis_rise.recipe import load_recipe, resolved, shipped_recipes
from metis_rise.recipe.faults import described_keys, known_keys
from metis_rise.recipe.root import Recipe
from metis_rise.recipe.yaml_text import parse_yaml
from metis_rise.starter import command
from metis_rise.starter.text import Wish, recipe_text

FOR_FILES = [name for name in shipped_recipes() if name not in ("tiny", "evidence")]
FLAGS = ("--train", "a.jsonl", "--test", "b.jsonl")


def made(text: str) -> dict[str, Any]:
    return resolved(Recipe.model_validate(parse_yaml(text, "made")))


def init(folder: Path, *arguments: str, **options: Any) -> Any:
    return CliRunner().invoke(app, ["init", str(folder / "mine.yaml"), *arguments], **options)


@pytest.mark.parametrize("base", FOR_FILES)
def test_a_recipe_is_the_shipped_one_with_what_was_wished(base: str):
    text = recipe_text(Wish("mine", "some/model", "a.jsonl", "b.jsonl"), base)
    shipped = resolved(load_recipe(base, ["problems.train=a.jsonl", "problems.test=b.jsonl"]))
    assert made(text) == shipped | {"name": "mine", "model": shipped["model"] | {"path": "some/model"}}


@pytest.mark.parametrize("base", FOR_FILES)
def test_every_setting_has_a_comment(base: str):
    lines = recipe_text(Wish("mine", "some/model", "a.jsonl", "b.jsonl"), base).splitlines()
    settings = [number for number, line in enumerate(lines) if re.match(r" *[a-z_]+:", line)]
    assert len(settings) > 20
    assert [lines[number] for number in settings if not lines[number - 1].lstrip().startswith("#")] == []
    assert max(map(len, lines)) < 130


@pytest.mark.parametrize("base", FOR_FILES)
def test_what_is_commented_out_is_right_when_the_signs_are_taken_away(base: str):
    text = recipe_text(Wish("mine", "some/model", "a.jsonl", "b.jsonl"), base)
    whole = re.sub(r"^#(?=[a-z ] *[a-z-])(?! [A-Z])", "", text, flags=re.MULTILINE)
    assert whole.count("\nexpert:") == whole.count("\nevaluate:") == 1
    found = made(whole)
    assert found["expert"]["budget"]["calls"] == 1000 and len(found["evaluate"]["benchmarks"]) == 6
    dev = made(re.sub(r"^  # (dev|skip_bad):", r"  \1:", text, flags=re.MULTILINE))
    assert dev["problems"]["dev"] == "dev.jsonl" and dev["problems"]["skip_bad"] is True


@given(st.text(min_size=1).map(str.strip).filter(lambda text: text and text.isprintable()))
def test_any_path_is_read_back_as_it_was(path: str):
    assert made(recipe_text(Wish("mine", "tiny", path, path), "user_jsonl"))["problems"]["train"] == path


@pytest.mark.parametrize(
    "word", ["null", "True", "no", "1e5", "~", "a: b", "#x", "- a", "{x}", "*", "data/t-*.parquet"]
)
def test_words_that_yaml_takes_for_something_else(word: str):
    found = made(recipe_text(Wish("mine", word, word, word), "user_jsonl"))
    assert (found["model"]["path"], found["problems"]["test"]) == (word, word)


@pytest.mark.parametrize("name", ["123", "1e5", "null", "yes", "1:30", "0x1F", "1_30", "mine", "on", "2026-01-01"])
def test_a_name_that_yaml_takes_for_something_else(tmp_path: Path, name: str):
    text = recipe_text(Wish(name, "tiny", "a.jsonl", "b.jsonl"), "user_jsonl")
    assert parse_yaml(text, "made")["name"] == name
    path = tmp_path / f"{name}.yaml"
    done = CliRunner().invoke(app, ["init", str(path), "--model", "tiny", *FLAGS])
    assert done.exit_code == 0, done.output
    assert load_recipe(str(path)).name == name.replace(":", "_")


@pytest.mark.parametrize(
    ("model", "more", "last"),
    [
        ("tiny", (), "rise run {}"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", (), "rise launch {} > job.sh  # then: sbatch --time=24:00:00 job.sh"),
        ("Qwen/Qwen3-VL-8B-Instruct", ("--lora",), "rise launch {} > job.sh  # then: sbatch --time=24:00:00 job.sh"),
    ],
)
def test_the_command_for_the_run_is_one_that_works(tmp_path: Path, model: str, more: tuple[str, ...], last: str):
    done = init(tmp_path, "--model", model, *more, *FLAGS)
    assert done.stdout.splitlines()[-1] == "  " + last.format(tmp_path / "mine.yaml")
    if "launch" in last:
        made = CliRunner().invoke(app, ["launch", str(tmp_path / "mine.yaml")])
        assert made.exit_code == 0 and made.stdout.startswith("#!/bin/bash"), made.output


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("tiny", "user_jsonl"),
        ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl_7b"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl_7b"),
        ("Qwen/Qwen2.5-VL-32B-Instruct", "qwen2_5_vl_72b"),
        ("Qwen/Qwen2.5-VL-72B-Instruct", "qwen2_5_vl_72b"),
        ("Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl_8b"),
        ("nobody/knows", "qwen2_5_vl_7b"),
    ],
)
def test_the_recipe_is_that_for_models_of_the_kind(tmp_path: Path, model: str, base: str):
    done = init(tmp_path, "--model", model, *FLAGS)
    assert done.exit_code == 0, done.output
    assert f"a recipe like {base}\n" in done.stdout
    assert load_recipe(str(tmp_path / "mine.yaml")).model.path == model
    assert ("its config is not here" in done.stderr) == (model == "nobody/knows")


@pytest.mark.parametrize("name", ["train.parquet", "t*.parquet", "train.json", ""])
def test_a_new_recipe_for_other_tools_files_is_planned(tmp_path: Path, name: str):
    """Lengths of prompts, and numbers of rows, are those of the file."""
    picture = in_file(drawing(1).resize((560, 420)))
    rows = [{"images": [{"bytes": picture, "path": None}], "problem": f"<image>{n}?", "answer": "3"} for n in range(30)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    plain = [{"problem": f"{n}?", "answer": "3"} for n in range(30)]
    (tmp_path / "train.json").write_text(json.dumps(plain))
    path = tmp_path / name if name else tmp_path
    done = init(tmp_path, "--model", "Qwen/Qwen2.5-VL-7B-Instruct", "--train", str(path), "--test", str(path))
    assert done.exit_code == 0, done.output
    found = prompts_of(load_recipe(str(tmp_path / "mine.yaml")), find_facts("Qwen/Qwen2.5-VL-7B-Instruct").vision)
    assert (found.train, found.test) == (30, 30)
    assert found.image == (0 if name.endswith(".json") else 300)
    assert "first 30 rows of" in found.note


def test_adapters(tmp_path: Path):
    assert init(tmp_path, "--model", "Qwen/Qwen3-VL-8B-Instruct", "--lora", *FLAGS).exit_code == 0
    assert load_recipe(str(tmp_path / "mine.yaml")).model.lora is not None


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("mine")
    done = init(tmp_path, "--model", "tiny", *FLAGS)
    assert done.exit_code == 2 and "exists" in done.stderr
    assert (tmp_path / "mine.yaml").read_text() == "mine"


def test_three_questions_are_asked_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "_at_terminal", lambda: True)
    done = init(tmp_path, input="tiny\n my train.jsonl \n\n")
    assert done.exit_code == 0, done.output
    made = load_recipe(str(tmp_path / "mine.yaml"))
    assert (made.model.path, made.problems.train, made.problems.test) == ("tiny", "my train.jsonl", "test.jsonl")
    assert "rise data check 'my train.jsonl' --recipe" in done.stdout


def test_without_a_terminal_the_flag_is_named(tmp_path: Path):
    done = init(tmp_path, "--model", "tiny", "--train", "a.jsonl")
    assert done.exit_code == 2 and done.stderr.startswith("error: give --test:")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "", *FLAGS), "--model ''"),
        (("--model", "tiny", "--lora", *FLAGS), "--lora"),
        (("--model", "tiny", "--train", "a\nb", "--test", "b"), "--train"),
    ],
)
def test_wishes_that_cannot_be_met(tmp_path: Path, arguments: tuple[str, ...], said: str):
    done = init(tmp_path, *arguments)
    assert done.exit_code == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "recipe"), [("a b.yaml", "a_b"), ("ünder.yml", "_nder"), ("...yaml", "mine")])
def test_the_recipe_is_called_like_its_file(tmp_path: Path, name: str, recipe: str):
    done = CliRunner().invoke(app, ["init", str(tmp_path / "new" / name), "--model", "tiny", *FLAGS])
    assert done.exit_code == 0, done.output
    assert load_recipe(str(tmp_path / "new" / name)).name == recipe


def test_a_model_folder_decides_by_its_config(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "llama"}))
    done = init(tmp_path, "--model", str(tmp_path / "model"), *FLAGS)
    assert done.exit_code == 2 and "model_type" in done.stderr


def test_every_key_has_a_meaning():
    assert list(described_keys()) == known_keys()
    assert all(described_keys().values())
