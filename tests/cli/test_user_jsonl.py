"""The same command on a user's own files: real pictures, and everything that can be wrong with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from micro import ok, rise

from metis_rise.run import read_jsonl

SMALL = (
    "threads=1",
    "rl.steps=1",
    "rl.prompts_per_step=4",
    "rl.group_size=2",
    "rl.refill_rounds=0",
    "rl.eval_problems=4",
    "diagnose.samples=1",
    "sft.stages.1.epochs=1",
    "evaluate.limit=6",
)


@pytest.fixture
def tabmwp(shared_data: Path, tmp_path: Path) -> Path:
    """A folder with train.jsonl (90 problems) and test.jsonl (10 others) made of real TabMWP rows."""
    source = shared_data / "tabmwp"
    rows = read_jsonl(source / "tabmwp.jsonl")
    for name, part in (("train", rows[:90]), ("test", rows[90:100])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)))
        for picture in (picture for row in part for picture in row["images"]):
            (tmp_path / picture).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / picture, tmp_path / picture)
    return tmp_path


@pytest.mark.shared_data
def test_every_stage_works_on_real_tables(tabmwp: Path):
    printed = ok(tabmwp, "run", "user_jsonl", "problems.train=train.jsonl", "problems.test=test.jsonl", *SMALL)
    run = tabmwp / "runs" / "user_jsonl"
    expert = read_jsonl(run / "4-expert" / "trajectories-0000.jsonl")
    assert len(expert) >= 50 and all(row["verdict"]["correct"] for row in expert)
    taught = json.loads((run / "5-sft" / "DONE").read_text())["stages"][1]
    assert taught["examples"] == len(expert)
    assert taught["heldout_last"] < taught["heldout_first"]
    solutions = {row["id"]: row["solution"] for row in read_jsonl(run / "problems" / "train.jsonl")}
    assert all(solutions[row["problem_id"]].strip() in row["text"] for row in expert)
    (start,) = [row for row in read_jsonl(run / "manifest.jsonl") if row["kind"] == "start"]
    assert start["max_tokens"] > 80, "lengths must fit the data, not the world"
    assert "after RISE" in printed


def test_there_is_no_default_path(tmp_path: Path):
    done = rise(tmp_path, "run", "user_jsonl")
    assert done.returncode == 2
    assert "problems.train=PATH" in done.stderr


GOOD = {"id": "a", "question": "How many?", "answer": "3", "answer_type": "number"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([GOOD, {**GOOD, "id": "b", "images": ["none.png"]}], "row 2"),
        ([GOOD, {**GOOD, "id": "b", "images": ["broken.png"]}], "row 2"),
        ([GOOD, {**GOOD, "id": "b", "answer_type": "numbr"}], "number"),
        ([GOOD, {**GOOD, "id": "b", "answer": ""}], "row 2"),
        ([GOOD, GOOD], "row 1"),
        ([GOOD, {**GOOD, "id": "b", "solution": "See <|image_pad|>."}], "row 2"),
    ],
    ids=["missing image", "broken image", "unknown answer type", "empty answer", "duplicate id", "control token"],
)
def test_bad_rows_end_with_one_line_and_leave_nothing_behind(rows: list[dict[str, object]], said: str, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n truncated")
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "test.jsonl").write_text(json.dumps({**GOOD, "question": "Another?"}))
    done = rise(tmp_path, "run", "user_jsonl", "problems.train=train.jsonl", "problems.test=test.jsonl")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "train.jsonl" in line and said in line
    assert not (tmp_path / "runs").exists()


def sets(folder: Path, train: list[dict[str, object]], test: list[dict[str, object]]) -> tuple[str, ...]:
    """Writes the two files; returns the command's arguments."""
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, train)))
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, test)))
    return "run", "user_jsonl", "problems.train=train.jsonl", "problems.test=test.jsonl", "sampling.max_tokens=64"


def test_ids_are_unique_over_all_files(tmp_path: Path):
    rows = [{**GOOD, "id": str(i), "question": f"Question {i}?"} for i in range(20)]
    done = rise(tmp_path, *sets(tmp_path, rows, [{**GOOD, "id": "3", "question": "Another?"}]))
    assert done.returncode == 2 and "'3'" in done.stderr and "id of its own" in done.stderr


def test_rows_with_equal_content_stay_on_one_side_of_the_dev_split(tmp_path: Path):
    rows = [{**GOOD, "id": str(i), "question": f"Question {i // 2}?"} for i in range(40)]
    with_tiny_rl = ("rl.steps=1", "rl.prompts_per_step=1", "rl.group_size=2", "rl.refill_rounds=0", "threads=1")
    arguments = sets(tmp_path, rows, [{**GOOD, "id": "t", "question": "Another?"}])
    done = rise(tmp_path, "rl", *arguments[1:], *with_tiny_rl)
    assert done.returncode == 0, done.stderr
    problems = tmp_path / "runs" / "user_jsonl" / "problems"
    train, dev = ({row["question"] for row in read_jsonl(problems / f"{name}.jsonl")} for name in ("train", "dev"))
    assert dev and not train & dev


def test_a_penalty_longer_than_the_fitted_length_is_refused(tmp_path: Path):
    rows = [{**GOOD, "id": str(i), "question": f"Question {i}?", "solution": "Three."} for i in range(20)]
    arguments = sets(tmp_path, rows, [{**GOOD, "id": "t", "question": "Another?"}])[:-1]
    done = rise(tmp_path, *arguments, "rl.overlong_buffer=512")
    assert done.returncode == 2 and "overlong_buffer" in done.stderr and "Traceback" not in done.stderr


def test_a_test_problem_that_is_also_trained_on_is_refused(tmp_path: Path):
    rows = [{**GOOD, "id": str(i), "question": f"Question {i}?"} for i in range(20)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "test.jsonl").write_text(json.dumps({**rows[3], "id": "other"}))
    done = rise(
        tmp_path,
        "run",
        "user_jsonl",
        "problems.train=train.jsonl",
        "problems.test=test.jsonl",
        "sampling.max_tokens=64",
    )
    assert done.returncode == 2
    assert "are also" in done.stderr and "other" in done.stderr and "problem 3)" in done.stderr
