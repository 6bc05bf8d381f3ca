"""Where a run stands, at every moment of its life."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_run import make_run
from rich.console import Console
from typer.testing import CliRunner

from metis_rise import lock
from metis_rise.cli import app
from metis_rise.lock import SILENCE_S, holder_of, locked
from metis_rise.look.status import print_status, status_of
from metis_rise.run import read_jsonl, write_jsonl


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", problems=24, steps=30)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "tiny"))


def told(run: Path, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as found:
        print_status(run, console)
    return found.get()


def unfinished(run: Path, first: str) -> None:
    """Makes the run one that is within the stage `first`."""
    (run / "summary.json").unlink()
    later = [folder for folder in sorted(run.glob("[1-6]-*")) if folder.name >= first]
    for folder in later[1:]:
        shutil.rmtree(folder)
    (later[0] / "DONE").unlink()


def test_a_finished_run_is_done_and_says_its_scores(run: Path):
    found = json.loads(CliRunner().invoke(app, ["status", str(run), "--json"]).stdout)
    summary = json.loads((run / "summary.json").read_text())
    assert (found["state"], found["stage"], found["progress"], found["holder"]) == ("done", None, None, None)
    assert found["arms"] == summary["arms"] and found["run"] == str(run)
    assert {name: stage["state"] for name, stage in found["stages"].items()} == dict.fromkeys(
        ("rl", "diagnose", "distill", "expert", "sft", "evaluate"), "done"
    )
    assert len(found["warnings"]) == 1 and "step 88" in found["warnings"][0]
    said = told(run)
    assert "tiny: done" in said and "after RISE" in said and "step 88" in said


def rl(run: Path) -> dict[str, Any]:
    """Steps 1 to 12, four seconds each, with a night between the eighth and the ninth."""
    rows = [row for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == "rl" and row["step"] <= 12]
    for row in rows:
        hours = 8 if row["step"] > 8 else 0
        row["time"] = f"2026-01-01T{hours:02}:00:{4 * row['step']:02}.000+00:00"
    write_jsonl(run / "metrics.jsonl", rows)
    return {"done": 12, "of": 30, "unit": "step", "eta_seconds": pytest.approx(4 * 18)}


def diagnose(run: Path) -> dict[str, Any]:
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps(recipe | {"diagnose": {"max_samples": 8}}))
    return {"done": 8 * 24, "of": 8 * 24, "unit": "sample"}


def expert(run: Path) -> dict[str, Any]:
    write_jsonl(run / "4-expert" / "answers.jsonl", [{"key": str(i), "cost": 0.25} for i in range(3)])
    return {"done": 3, "of": None, "unit": "answer", "numbers": {"cost": 0.75}}


def sft(run: Path) -> dict[str, Any]:
    recipe = json.loads((run / "recipe.json").read_text())
    names = [{"name": name} for name in ("self-distilled", "expert", "mixed")]
    (run / "recipe.json").write_text(json.dumps(recipe | {"sft": {"stages": names}}))
    rows = [row for row in read_jsonl(run / "metrics.jsonl") if "mixed" not in row["stage"]]
    write_jsonl(run / "metrics.jsonl", rows)
    return {"done": 40, "of": None, "unit": "step", "part": "expert, 2 of 3"}


def evaluate(run: Path) -> dict[str, Any]:
    (run / "6-evaluate" / "rise-sampled.jsonl").unlink()
    return {"done": 5, "of": 6}


@pytest.mark.parametrize(
    ("stage", "prepare"),
    [("1-rl", rl), ("2-diagnose", diagnose), ("4-expert", expert), ("5-sft", sft), ("6-evaluate", evaluate)],
)
def test_the_stage_that_is_next_says_how_far_it_has_come(
    run: Path, stage: str, prepare: Callable[[Path], dict[str, Any]]
):
    unfinished(run, stage)
    want = prepare(run)
    found = status_of(run).to_json()
    assert (found["state"], found["stage"]) == ("stopped", stage.partition("-")[2])
    assert {key: found["progress"][key] for key in want} == want
    assert f"{want['done']:,}" in told(run) and max(map(len, told(run, 60).splitlines())) <= 60


def test_a_run_is_not_done_while_a_benchmark_of_its_recipe_has_no_score(run: Path):
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps(recipe | {"evaluate": {"benchmarks": ["MathVista", "wemath"]}}))
    score(run, "base", "mathvista")
    found = status_of(run).to_json()
    assert (found["state"], found["stage"], found["round"]) == ("stopped", "evaluate", 1)
    assert found["progress"] | {"done": 1, "of": 6, "unit": "score", "part": "benchmarks"} == found["progress"]
    with locked(run, "go"):
        assert "1/6 scores (benchmarks)" in told(run, 200)
    for arm in ("base", "rl", "rise"):
        score(run, arm, "mathvista")
        score(run, arm, "wemath")
    assert status_of(run).state == "done"


def score(run: Path, arm: str, benchmark: str) -> None:
    folder = run / "benchmarks" / arm / benchmark
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "score.json").touch()


def test_who_works_on_it_is_said_while_somebody_does(run: Path, monkeypatch: pytest.MonkeyPatch):
    # Else it may be written in the moment in which the file is made old.
    monkeypatch.setattr(lock, "BEAT_S", 3600.0)
    unfinished(run, "2-diagnose")
    assert holder_of(run) is None
    with locked(run, "go"):
        assert f"at work, process {os.getpid()} on" in told(run, 200)
        file = run.with_name(f".{run.name}.lock")
        past = time.time() - SILENCE_S - 1
        os.utime(file, (past, past))
        assert holder_of(run) is None
    assert holder_of(run) is None


def test_a_killed_process_does_not_work_on(run: Path):
    with locked(run, "go"):
        file = run.with_name(f".{run.name}.lock")
        row = json.loads(file.read_bytes())
        gone = 2**22 + 1  # above the highest process id
        (run.parent / ".other.lock").write_bytes(json.dumps(row | {"pid": gone}).encode())
    (run.parent / "other").mkdir()
    assert holder_of(run.parent / "other") is None


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    done = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert done.exit_code == 2 and "no run folder" in done.output


def test_warnings_cannot_reach_the_terminal(run: Path):
    line = json.dumps({"time": "2026-01-01T00:00:00Z", "kind": "warning", "text": "evil \x1b[2J\x9b end"})
    with (run / "manifest.jsonl").open("a") as file:
        file.write(line + "\n")
    assert "evil ␛[2J\ufffd end" in told(run) and "\x1b" not in told(run)
