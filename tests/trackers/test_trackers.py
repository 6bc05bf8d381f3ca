"""Runs in TensorBoard, trackio and W&B (offline) themselves, in their own environment, read back by their readers."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from whole_run import RECIPE, make_whole

from metis_rise.run import Run, read_jsonl
from metis_rise.tracking.feed import state_file
from metis_rise.tracking.state import State

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".venv-trackers" / "bin" / "python"
TRACKERS = ("tensorboard", "trackio", "wandb")

pytestmark = pytest.mark.trackers


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    subprocess.run([sys.executable, HERE / "install.py"], check=True)


class Machine:
    """The trackers' environment, with what they keep outside the run in a folder of the test."""

    def __init__(self, home: Path) -> None:
        own = {"PYTHONPATH": str(ROOT / "src"), "HOME": str(home), "TRACKIO_DIR": str(home / "trackio")}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "TRACKIO"))}
        self._environment = kept | own | {"WANDB_MODE": "offline"}
        self._home = home

    def do(self, script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a script of this folder."""
        command = [PYTHON, HERE / script, *map(str, arguments)]
        variables = self._environment | environment
        return subprocess.run(command, env=variables, cwd=self._home, capture_output=True, text=True, check=False)

    def attempt(self, run: Path, *arguments: object, **environment: str) -> None:
        """One attempt at a run; dying by SIGKILL is no fault."""
        done = self.do("attempt.py", run, *arguments, **environment)
        assert done.returncode in (0, -9), done.stdout + done.stderr

    def kept(self, run: Path, tracker: str) -> dict[str, Any]:
        """What the tracker has."""
        done = self.do("read_back.py", run, tracker)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "home").mkdir()
    return Machine(tmp_path / "home")


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_jsonl(run / "manifest.jsonl") if row["kind"] == kind]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_run_that_was_killed_goes_on_as_the_same_one(tracker: str, tmp_path: Path, machine: Machine):
    run = Run.open(tmp_path, "new", RECIPE).path
    machine.attempt(run, tracker, 1, 3, "killed")
    machine.attempt(run, tracker, 3, 5)
    found = machine.kept(run, tracker)
    if tracker != "tensorboard":
        assert len(found["runs"]) == 1
    rl = {
        str(step): {"rl/reward": pytest.approx(step / 8), "rl/length": pytest.approx(10.0 * step)}
        for step in range(1, 6)
    }
    dev = {str(step): {"rl-dev/greedy": step / 16, "rl-dev/sampled": 0.5} for step in range(1, 6)}
    assert found["rows"] == {"rl": rl, "rl-dev": dev}
    assert not events(run, "warning") if (run / "manifest.jsonl").exists() else True
    assert [(event["to"], event["sent"], event["lost"]) for event in events(run, "tracking")] == [(tracker, 10, 0)]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_samples_are_there_with_their_pictures(tracker: str, tmp_path: Path, machine: Machine):
    run = make_whole(tmp_path)
    machine.attempt(run, tracker, 1, 2)
    found = machine.kept(run, tracker)
    arms = {f"samples/{arm}-{mode}" for arm in ("base", "rl", "rise") for mode in ("greedy", "sampled")}
    assert set(found["tables"]) == arms | {"samples/rl", "samples/diagnose", "samples/distill", "samples/expert"}
    assert set(found["tables"]["samples/rl"]) == {"1", "2"}
    # Two test problems for each of six files, three training problems, and one each of the four others.
    assert found["pictures"] == [[4, 4]] * (6 * 2 + 3 + 1 + 1 + 2)
    shown = json.dumps(found["tables"]["samples/base-greedy"])
    assert "test-one" in shown.replace("&#45;", "-") and "How many" in shown
    assert found["rows"]["evaluate"]["0"]["evaluate/rise/greedy/accuracy"] == 0.5


def test_what_tensorboard_shows_of_hostile_text_is_text(tmp_path: Path, machine: Machine):
    hostile = "<img src=x onerror=alert(1)> | **bold**\n[a](javascript:b)"
    run = make_whole(tmp_path)
    file = run / "6-evaluate" / "rl-greedy.jsonl"
    rows = [{**row, "text": hostile} for row in read_jsonl(file)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    machine.attempt(run, "tensorboard", 1, 1)
    table = machine.kept(run, "tensorboard")["tables"]["samples/rl-greedy"]["0"]
    page = machine.do("render.py", table)
    assert page.returncode == 0, page.stderr
    assert page.stdout.count("<td") == 2 * 10
    assert hostile.replace("\n", "⏎") in html.unescape(page.stdout)
    assert "<img" not in page.stdout and "<a" not in page.stdout and "<strong" not in page.stdout


def test_wandb_without_a_key_is_a_warning_and_everything_waits(tmp_path: Path, machine: Machine):
    run = Run.open(tmp_path, "new", RECIPE).path
    machine.attempt(run, "wandb", 1, 2, WANDB_MODE="online", WANDB_BASE_URL="http://127.0.0.1:9")
    (warning,) = events(run, "warning")
    assert "wandb failed" in warning["text"] and "API key" in warning["text"]
    state = State.read(state_file(run, "wandb"))
    assert (state.items, state.lost) == (0, 0) and state.failures > 0
    machine.attempt(run, "wandb", 3, 4)
    assert set(machine.kept(run, "wandb")["rows"]["rl"]) == {"1", "2", "3", "4"}


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_a_key_is_written_nowhere(mode: str, tmp_path: Path, machine: Machine):
    key = "0123456789abcdef" * 2 + "01234567"
    run = make_whole(tmp_path)
    # Online one that is too short is refused at once; with another W&B tries for a minute to reach the server.
    shown = key if mode == "offline" else key[:20]
    machine.attempt(run, "wandb", 1, 2, WANDB_MODE=mode, WANDB_API_KEY=shown, WANDB_BASE_URL="http://127.0.0.1:9")
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 20
    assert [file for file in files if shown.encode() in file.read_bytes()] == []
