from __future__ import annotations

import io
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_rise import journal
from metis_rise.errors import InputError
from metis_rise.run import STAGES, Run, append_jsonl, read_jsonl, write_atomic
from metis_rise.terminal import Bar, stage_view

RECIPE: dict[str, Any] = {"name": "x", "rl": {"steps": 3, "lr": 1e-4}, "sft": {"stages": [{"name": "a"}]}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
json_rows = st.lists(st.dictionaries(st.text(), json_values, max_size=4), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)  # each example syncs to disk, whose speed is not ours
@given(rows=json_rows, data=st.data())
def test_a_journal_torn_at_any_byte_keeps_every_whole_row_and_can_grow_again(
    rows: list[dict[str, Any]], data: st.DataObject
):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j.jsonl"
        append_jsonl(path, rows)
        assert read_jsonl(path) == rows
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        # A row is whole when all its bytes but the newline are there.
        ends = [i for i, byte in enumerate(whole) if byte == 0x0A]
        survivors = rows[: sum(end <= cut for end in ends)]
        assert read_jsonl(path) == survivors
        append_jsonl(path, [{"new": 1}])
        assert read_jsonl(path) == [*survivors, {"new": 1}]


def test_a_torn_line_is_noted_with_file_and_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":"\xc3')
    assert read_jsonl(path) == [{"a": 1}]
    note = capsys.readouterr().err
    assert f"{path} row 2" in note and "torn" in note


def test_a_torn_tail_longer_than_one_block_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "_BLOCK", 7)
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":"' + b"x" * 100)
    append_jsonl(path, [{"c": 3}])
    assert b"xxx" not in path.read_bytes()
    assert read_jsonl(path) == [{"a": 1}, {"c": 3}]


@pytest.mark.parametrize("middle", [b"{broken", b"[1]", b"3", b'{"a":\xff}'])
def test_a_broken_line_in_the_middle_names_file_and_row(tmp_path: Path, middle: bytes):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"a":1}\n' + middle + b'\n{"c":1}\n')
    with pytest.raises(InputError, match="row 2") as caught:
        read_jsonl(path)
    assert str(path) in str(caught.value)


def test_reading_a_journal_that_is_not_there_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.jsonl"):
        read_jsonl(tmp_path / "none.jsonl")


def test_nan_never_reaches_a_journal(tmp_path: Path):
    path = tmp_path / "j.jsonl"
    with pytest.raises(ValueError, match="JSON"):
        append_jsonl(path, [{"a": 1}, {"a": float("nan")}])
    assert not path.exists()


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "sub" / "f.txt"
    write_atomic(path, "old")

    def full_disk(source: object, target: object) -> None:
        assert Path(str(source)).read_text(encoding="utf-8") == "new"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in path.parent.iterdir()] == ["f.txt"]


def test_bytes_are_written_as_they_are(tmp_path: Path):
    write_atomic(tmp_path / "b", b"\x00\r\n\xff")
    assert (tmp_path / "b").read_bytes() == b"\x00\r\n\xff"


def test_a_run_is_created_then_taken_up_again(tmp_path: Path):
    first = Run.open(tmp_path, "r", RECIPE)
    first.stage("rl").finish({"steps": 3})
    again = Run.open(tmp_path, "r", json.loads(json.dumps(RECIPE)))
    assert again.path == tmp_path / "r"
    assert again.stage("1-rl").result() == {"steps": 3}
    assert json.loads((again.path / "recipe.json").read_text(encoding="utf-8")) == RECIPE


def test_settings_that_may_change_are_recorded_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Run.open(tmp_path, "r", RECIPE).stage("rl").finish({"steps": 3})
    other = RECIPE | {"rl": RECIPE["rl"] | {"steps": 4}}
    with pytest.raises(InputError, match=r"rl\.steps"):
        Run.open(tmp_path, "r", other, may_change={"rl.lr"})
    again = Run.open(tmp_path, "r", other, may_change={"rl.steps"})
    assert again.stage("rl").result() == {"steps": 3}
    assert json.loads((again.path / "recipe.json").read_text(encoding="utf-8")) == other
    assert "goes on with rl.steps = 4 (was 3)" in capsys.readouterr().out
    assert "goes on with rl.steps = 4 (was 3)" in (again.path / "log.txt").read_text(encoding="utf-8")


def test_a_run_of_another_recipe_names_the_differing_keys_and_stays_untouched(tmp_path: Path):
    Run.open(tmp_path, "r", RECIPE)
    before = (tmp_path / "r" / "recipe.json").read_bytes()
    other = {"name": "x", "rl": {"steps": 4, "lr": 1e-4}, "sft": {"stages": [{"name": "a"}, {"name": "b"}]}}
    with pytest.raises(InputError) as caught:
        Run.open(tmp_path, "r", other)
    message = str(caught.value)
    assert "rl.steps (3 there, 4 here)" in message
    assert 'sft.stages.1.name (absent there, "b" here)' in message
    assert "rl.lr" not in message
    assert "--name" in message and "--fresh" in message and "\n" not in message
    assert (tmp_path / "r" / "recipe.json").read_bytes() == before


def test_fresh_deletes_the_old_run_and_nothing_else(tmp_path: Path):
    Run.open(tmp_path, "r", RECIPE).stage("rl").finish({})
    Run.open(tmp_path, "other", RECIPE)
    (tmp_path / ".r.deleted" / "1-rl").mkdir(parents=True)  # what a kill during an earlier deletion left
    run = Run.open(tmp_path, "r", {"name": "y"}, fresh=True)
    assert not run.stage("rl").done
    assert json.loads((run.path / "recipe.json").read_text(encoding="utf-8")) == {"name": "y"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "r"]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_that_is_no_run_is_never_touched(tmp_path: Path, fresh: bool):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.png").write_bytes(b"x")
    with pytest.raises(InputError, match="not a run folder"):
        Run.open(tmp_path, "photos", RECIPE, fresh=fresh)
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["me.png"]


def test_a_folder_left_by_a_kill_before_the_first_file_is_taken(tmp_path: Path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".recipe.json.7.tmp").write_bytes(b"{")
    assert Run.open(tmp_path, "r", RECIPE).metrics() == []


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b"])
def test_a_run_name_is_one_plain_folder_name(tmp_path: Path, name: str):
    with pytest.raises(InputError, match="run name"):
        Run.open(tmp_path, name, RECIPE, fresh=True)


def test_stages_are_known_by_both_names(tmp_path: Path):
    run = Run.open(tmp_path, "r", RECIPE)
    for full in STAGES:
        stage = run.stage(full.partition("-")[2])
        assert stage == run.stage(full)
        assert (stage.name, stage.path) == (full, tmp_path / "r" / full)
    with pytest.raises(ValueError, match="no stage"):
        run.stage("polish")


def test_a_stage_is_done_only_when_its_result_can_be_read(tmp_path: Path):
    stage = Run.open(tmp_path, "r", RECIPE).stage("sft")
    assert not stage.done
    with pytest.raises(InputError, match="rise sft"):
        stage.result()
    (stage.path / "DONE").write_text('{"seconds": 1', encoding="utf-8")
    assert not stage.done
    stage.finish({"seconds": 1.5, "counts": {"kept": 2}})
    assert stage.done
    assert stage.result() == {"seconds": 1.5, "counts": {"kept": 2}}
    run = Run(stage.path.parent)
    assert run.is_done(stage.name) and run.is_done(stage.short)
    assert not run.is_done("evaluate") and not run.in_round(2).is_done(stage.name)
    assert [path.name for path in run.path.iterdir() if path.is_dir()] == [stage.name], "looking makes no folder"


def test_a_stage_that_needs_an_earlier_one_names_the_command(tmp_path: Path):
    run = Run.open(tmp_path, "r", RECIPE)
    run.require_earlier("rl")
    run.stage("rl").finish({})
    run.require_earlier("diagnose")
    with pytest.raises(InputError, match=r"eval needs the stage diagnose .* rise diagnose$"):
        run.require_earlier("evaluate")
    with pytest.raises(InputError, match=r"rl of round-2 needs the stage diagnose .* rise diagnose$"):
        run.require_earlier("evaluate", "rl of round-2")


def test_a_warning_of_a_later_round_says_so_and_is_kept_beside_that_of_the_first(tmp_path: Path):
    run = Run.open(tmp_path, "r", RECIPE)
    for _ in range(2):
        for number in (1, 2):
            run.in_round(number).warn("nothing came")
    kept = [row["text"] for row in read_jsonl(run.path / "manifest.jsonl")]
    assert kept == ["nothing came", "round-2: nothing came"]


def test_metrics_after_the_step_that_a_stage_resumes_at_are_dropped(tmp_path: Path):
    run = Run.open(tmp_path, "r", RECIPE)
    for step in (1, 2, 3):
        run.metric("rl", step, {"reward": step / 2})
        run.metric("rl-dev", step, {"greedy": 0.5})
    run.truncate_metrics("rl", 2)
    assert [row["step"] for row in run.metrics("rl")] == [1, 2]
    assert [row["step"] for row in run.metrics("rl-dev")] == [1, 2, 3]
    assert run.metrics("rl")[1]["values"] == {"reward": 1.0}
    run.metric("rl", 3, {"reward": 9.0})
    assert len(run.metrics()) == 6


def test_a_metric_that_is_not_finite_is_refused_by_name(tmp_path: Path):
    run = Run.open(tmp_path, "r", RECIPE)
    with pytest.raises(ValueError, match="rl step 4: not finite: loss"):
        run.metric("rl", 4, {"reward": 1.0, "loss": float("nan")})
    assert run.metrics() == []


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), BrokenPipeError()])
def test_a_terminal_that_is_gone_ends_no_run_and_the_log_goes_on(
    tmp_path: Path, error: OSError, monkeypatch: pytest.MonkeyPatch
):
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise error

    run = Run(tmp_path)
    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(sys, "stderr", Gone())
    run.log("half way")
    run.log("warning: slow", logging.WARNING)
    with stage_view("tiny"), Bar(total=2, desc="RL", unit="step") as bar:
        bar.update()
    assert [line.split(" ", 1)[1] for line in (tmp_path / "log.txt").read_text().splitlines()] == [
        "half way",
        "warning: slow",
    ]


def test_log_and_events_leave_timed_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = Run.open(tmp_path, "r", RECIPE)
    run.log("first\nsecond")
    run.event("opened", resumed=False)
    assert capsys.readouterr().out == "first\nsecond\n"
    lines = (run.path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["first", "second"]
    (event,) = read_jsonl(run.path / "manifest.jsonl")
    assert (event["kind"], event["resumed"]) == ("opened", False)
    assert event["time"] == lines[0].split(" ")[0] or event["time"] > lines[0].split(" ")[0]
