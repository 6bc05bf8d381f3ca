"""`rise eval` as a user runs it: models on benchmarks, resumed after a kill, and the benchmarks of a recipe."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from micro import ENVIRONMENT, MICRO, command, ok, rise

SAMPLED = ("--samples", "2", "--temperature", "1", "--max-tokens", "60", "--batch-tokens", "1000", "--threads", "1")
WORLD = ("eval", "tiny", "--benchmark", "world", "--limit", "20", *SAMPLED)


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_an_evaluation_that_was_killed_goes_on_and_ends_with_the_same_predictions(tmp_path: Path):
    calm = json.loads(ok(tmp_path, *WORLD, "--out", "calm", "--json"))
    journal = tmp_path / "killed" / "world" / "answers.jsonl"
    process = subprocess.Popen(
        command(*WORLD, "--out", "killed"), cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and lines(journal) < 4:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    kept = lines(journal)
    assert 4 <= kept < 40 and not (tmp_path / "killed" / "world" / "score.json").exists()
    before = journal.read_bytes().splitlines()[:kept]
    assert json.loads(ok(tmp_path, *WORLD, "--out", "killed", "--json")) == calm
    assert journal.read_bytes().splitlines()[:kept] == before and lines(journal) == 40
    for name in ("tiny_world.tsv", "verdicts.jsonl", "score.json"):
        written = [(tmp_path / out / "world" / name).read_bytes() for out in ("calm", "killed")]
        assert written[0] == written[1], name
    assert calm["n"] == 20 and calm["metrics"]["samples"] == 2 and calm["score"] > 0
    again = rise(tmp_path, *WORLD, "--out", "killed", "--max-tokens", "80")
    assert again.returncode == 2 and "max_tokens (60 there, 80 here)" in again.stderr


@pytest.mark.shared_data
def test_the_six_run_through_the_small_model_and_come_out_scored(shared_data: Path, tmp_path: Path):
    data = ("--data", str(shared_data / "benchmarks"), "--threads", "1")
    done = ok(tmp_path, "eval", "tiny", "--benchmark", "all", *data, "--limit", "1", "--json")
    found: dict[str, Any] = json.loads(done)
    rows = {"mathvista": 1, "mathvision": 1, "mathverse": 1, "dynamath": 10, "wemath": 3, "logicvista": 1}
    assert {name: row["n"] for name, row in found["benchmarks"].items()} == rows
    assert all(row["score"] is not None and not row["complete"] for row in found["benchmarks"].values())
    assert found["mean"] is None and "MathVista 1/1000" in found["no_mean"]
    home = tmp_path / "evals" / "tiny"
    assert all(lines(home / name / "answers.jsonl") == count for name, count in rows.items())
    predictions = home / "wemath" / "tiny_WeMath.tsv"
    scored = json.loads(ok(tmp_path, "eval", "--score", str(predictions), "-b", "wemath", "--json"))
    assert scored["metrics"]["headlines"] == found["benchmarks"]["wemath"]["metrics"]["headlines"]
    told = ok(tmp_path, "eval", "tiny", "-b", "mathvista,wemath", *data, "--limit", "1", "--out", str(home))
    assert "mean of six: not given" in told and "protocol rule" in told


def test_a_recipes_benchmarks_are_done_with_stage_6_and_can_be_added_to(tmp_path: Path):
    problems = [
        {"id": str(n), "question": f"What is {n} plus 3?", "answer": n + 3, "answer_type": "number"} for n in (1, 2)
    ]
    (tmp_path / "my.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    asked = ("evaluate.benchmarks=[jsonl]", "evaluate.data=my.jsonl", "evaluate.limit=2", "evaluate.sampled=false")
    assert "rise on Problems of a JSONL file" in ok(tmp_path, "run", "tiny", *MICRO, *asked, "rl.steps=1")
    home = tmp_path / "runs" / "tiny" / "benchmarks"
    scores = {arm: json.loads((home / arm / "jsonl" / "score.json").read_text()) for arm in ("base", "rl", "rise")}
    assert all(score["n"] == 2 and score["protocol"]["max_tokens"] == 80 for score in scores.values())
    assert "rise on Problems" not in ok(tmp_path, "eval", "tiny", *MICRO, *asked, "rl.steps=1")
    journals = [home / arm / "jsonl" / "answers.jsonl" for arm in scores]
    before = [journal.stat().st_mtime_ns for journal in journals]
    told = ok(tmp_path, "eval", "runs/tiny", "-b", "jsonl", "--data", "my.jsonl", "--threads", "1", "--json")
    assert json.loads(told) == {"run": "runs/tiny", "models": scores}
    assert [journal.stat().st_mtime_ns for journal in journals] == before
