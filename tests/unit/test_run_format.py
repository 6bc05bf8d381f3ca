"""Run folders of other versions: read, or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from whole_run import RECIPE, make_whole

from metis_rise.check.folder import check_run
from metis_rise.errors import InputError
from metis_rise.exchange.sft_set import read_set
from metis_rise.fork import fork
from metis_rise.journal import read_jsonl, write_jsonl
from metis_rise.recipe import MAY_CHANGE
from metis_rise.recipe.compare import compare
from metis_rise.report.data import load_run
from metis_rise.run import Run
from metis_rise.run_format import FORMAT, read_format, write_format


def test_a_new_run_says_its_format(tmp_path: Path):
    run = Run.open(tmp_path, "r", RECIPE)
    assert read_format(run.path) == FORMAT
    assert json.loads((run.path / "format.json").read_text())["format"] == FORMAT


def test_a_crash_before_the_recipe_was_written_leaves_a_folder_that_is_taken_up(tmp_path: Path):
    (tmp_path / "r").mkdir()
    write_format(tmp_path / "r")
    assert Run.open(tmp_path, "r", RECIPE).path == tmp_path / "r"


def test_a_run_without_a_format_is_taken_up_and_said_to_be_older(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = Run.open(tmp_path, "r", RECIPE)
    (run.path / "format.json").unlink()
    capsys.readouterr()
    Run.open(tmp_path, "r", RECIPE).event("start")
    assert "begun by an older version, whose lines have no checksum" in capsys.readouterr().out
    assert read_format(run.path) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "2"}', '{"format": 0}', '{"format": true}'])
def test_a_damaged_format_is_refused(tmp_path: Path, content: str):
    (tmp_path / "format.json").write_text(content)
    with pytest.raises(InputError, match=r"format\.json: says no format"):
        read_format(tmp_path)


def test_everything_that_reads_runs_refuses_a_newer_one(tmp_path: Path):
    path = make_whole(tmp_path)
    write_format(path, FORMAT + 1)
    other = Run.open(tmp_path, "other", RECIPE)
    readers: list[Any] = [
        lambda: Run.open(tmp_path, "whole", RECIPE),
        lambda: load_run(path),
        lambda: read_set(path),
        lambda: check_run(path),
        lambda: fork(path, other, RECIPE, MAY_CHANGE),
    ]
    for read in readers:
        with pytest.raises(InputError, match=rf"in format {FORMAT + 1}, .*install a newer"):
            read()


def test_a_fork_of_an_older_run_is_of_its_format(tmp_path: Path):
    path = make_whole(tmp_path)
    (path / "format.json").unlink()
    for file in path.rglob("*.jsonl"):
        write_jsonl(file, read_jsonl(file), checked=False)
    made = Run.open(tmp_path, "made", RECIPE)
    fork(path, made, RECIPE, MAY_CHANGE)
    assert read_format(made.path) == 1
    assert check_run(made.path).faults == []


def test_fields_that_an_older_recipe_lacks_are_at_their_defaults(tmp_path: Path):
    older = json.loads(json.dumps(RECIPE))
    del older["rl"]["keep_checkpoints"], older["sft"]["stages"][1]["order"], older["parallel"]
    Run.open(tmp_path, "r", older)
    assert Run.open(tmp_path, "r", RECIPE).path == tmp_path / "r"
    assert compare(older, RECIPE) == {}


def test_a_field_that_is_not_at_its_default_is_a_difference(tmp_path: Path):
    older = json.loads(json.dumps(RECIPE))
    del older["rl"]["keep_checkpoints"]
    changed = RECIPE | {"rl": RECIPE["rl"] | {"keep_checkpoints": 7}}
    assert compare(older, changed).keys() == {"rl.keep_checkpoints"}


def test_a_field_that_is_no_more_is_a_difference_and_hides_none_of_the_defaults():
    older = json.loads(json.dumps(RECIPE))
    older["expert"]["source"] = "auto"
    del older["rl"]["keep_checkpoints"]
    assert compare(older, RECIPE) == {"expert.source": ('"auto"', "absent")}
