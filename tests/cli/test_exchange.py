"""A run's stages taken over by another run, its examples out to other tools, and trajectories in from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from micro import MICRO, ok, rise

from metis_rise.run import read_jsonl

NO_REPLAY = "sft.stages.1.replay=0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run of the micro recipe."""
    folder = tmp_path_factory.mktemp("exchange")
    ok(folder, "run", "tiny", *MICRO)
    return folder


def done(run: Path, stage: str) -> dict[str, Any]:
    return json.loads((run / stage / "DONE").read_text())


def test_a_new_run_takes_over_the_stages_before_the_first_changed_setting(whole: Path):
    printed = ok(whole, "run", "tiny", *MICRO, NO_REPLAY, "--name", "fork", "--from", "runs/tiny")
    assert "runs/tiny: taken over: 1-rl, 2-diagnose, 3-distill, 4-expert" in printed
    assert printed.count("done before") == 4
    old, new = whole / "runs" / "tiny", whole / "runs" / "fork"
    assert [stage["replay"] for stage in done(new, "5-sft")["stages"]][1] == 0
    assert [stage["replay"] for stage in done(old, "5-sft")["stages"]][1] > 0
    assert done(new, "1-rl") == done(old, "1-rl")
    arms = [json.loads((run / "summary.json").read_text())["arms"] for run in (old, new)]
    assert arms[0]["base"] == arms[1]["base"] and arms[0]["rl"] == arms[1]["rl"]
    curves = {row["stage"] for row in read_jsonl(new / "metrics.jsonl")}
    assert {"rl", "rl-dev", "sft-dev", "sft-expert"} <= curves
    # What the fork writes is its own: the run that it came from is as it was.
    before = [row for row in read_jsonl(old / "metrics.jsonl") if row["stage"] == "sft-expert"]
    after = [row for row in read_jsonl(new / "metrics.jsonl") if row["stage"] == "sft-expert"]
    assert before != after
    # The same command again resumes it.
    assert "done before" in ok(whole, "run", "tiny", *MICRO, NO_REPLAY, "--name", "fork", "--from", "runs/tiny")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("rl.steps=9", "--name", "other", "--from", "runs/tiny"),
            "recipes differ in what RL needs: rl.steps (4 there",
        ),
        (("--name", "other", "--from", "."), "no run folder"),
        (("--name", "tiny", "--from", "elsewhere"), "there already, and not from elsewhere"),
    ],
)
def test_what_cannot_be_taken_over_is_said_and_leaves_no_run(whole: Path, arguments: tuple[str, ...], said: str):
    kept = [setting for setting in MICRO if not (setting.startswith("rl.steps") and "rl.steps=9" in arguments)]
    failed = rise(whole, "run", "tiny", *kept, *arguments)
    assert failed.returncode == 2 and said in failed.stderr
    assert not (whole / "runs" / "other").exists()


def test_a_finished_run_is_exported(whole: Path):
    printed = ok(whole, "export", "sft", "runs/tiny", "--format", "sharegpt")
    rows = read_jsonl(whole / "tiny-sft-sharegpt" / "train.jsonl")
    examples = done(whole / "runs" / "tiny", "3-distill")["counts"], done(whole / "runs" / "tiny", "4-expert")["counts"]
    assert len(rows) == examples[0]["kept"] + examples[0]["replay"] + examples[1]["kept"]
    assert f"{len(rows)} examples" in printed
    assert all((whole / "tiny-sft-sharegpt" / name).is_file() for row in rows for name in row["images"])
    again = rise(whole, "export", "sft", "runs/tiny", "--format", "sharegpt")
    assert again.returncode == 2 and "exists; name a new folder with --to" in again.stderr


def test_imported_trajectories_are_verified_and_nobody_is_asked_for_their_problems(whole: Path, tmp_path: Path):
    ok(whole, "export", "sft", "runs/tiny", "--format", "sharegpt", "--to", str(tmp_path / "out"))
    rows = [row for row in read_jsonl(tmp_path / "out" / "train.jsonl") if row["source"] == "expert"]
    wrong = {"problem": rows[0]["id"], "completion": "<think> It is 9999. </think><answer>\\boxed{9999}</answer>"}
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows[:2], wrong, rows[0]]))
    settings = [*MICRO, "expert.max_problems=1000", "--name", "imports"]
    late = rise(whole, "import", "runs/tiny", str(file))
    assert late.returncode == 2 and "its expert stage is done" in late.stderr
    for stage in ("rl", "diagnose", "distill"):
        ok(whole, stage, "tiny", *settings)
    printed = ok(whole, "import", "runs/imports", str(file))
    assert "4 trajectories, 2 accepted for 2 problems" in printed
    assert "1 refused: wrong answer" in printed and "1 refused: imported before" in printed
    ok(whole, "expert", "tiny", *settings)
    result = done(whole / "runs" / "imports", "4-expert")
    assert result["experts"]["imported"]["kept"] == 2
    assert result["experts"]["world"]["kept"] == result["counts"]["kept"] - 2
    taught = {
        row["problem_id"]: row["text"] for row in read_jsonl(whole / "runs/imports/4-expert/trajectories-0000.jsonl")
    }
    assert taught[rows[0]["id"]] == rows[0]["conversations"][-1]["value"]


def test_a_row_that_cannot_be_imported_names_itself_and_nothing_is_taken(whole: Path, tmp_path: Path):
    good = {"problem": "bars-1-train-0-0000", "completion": "x"}
    ok(whole, "rl", "tiny", *MICRO, "--name", "young")
    for bad, said in (
        ({"completion": "x"}, "row 2: no problem there"),
        ({"problem": "bars-1-train-0-0000"}, "row 2: no completion there"),
        ({"problem": "nobody", "completion": "x"}, "row 2: the run has no training problem 'nobody'"),
    ):
        (tmp_path / "bad.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n")
        failed = rise(whole, "import", "runs/young", str(tmp_path / "bad.jsonl"))
        assert failed.returncode == 2 and said in failed.stderr
        assert not (whole / "runs" / "young" / "imported.jsonl").exists()
