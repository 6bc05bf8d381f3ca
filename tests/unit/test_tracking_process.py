"""Trackers in processes of their own: what becomes of a run whose trackers misbehave, and of them when it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from fake_tracker import noted, tell
from whole_run import RECIPE

from metis_rise.errors import InputError
from metis_rise.recipe.tracking import TrackingConfig
from metis_rise.run import Run, read_jsonl
from metis_rise.tracking import check_trackers, tracked, watching

CONFIG = TrackingConfig(to=("wandb",))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setitem(watching.MODULES, "wandb", "fake_tracker")
    run = Run.open(tmp_path, "new", RECIPE)
    run.metric("rl", 1, {"reward": 0.1})
    return run


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    file = run.path / "manifest.jsonl"
    return [row for row in read_jsonl(file) if row["kind"] == kind] if file.exists() else []


def wait(until: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_a_run_writes_is_sent_and_counted(run: Run, capfd: pytest.CaptureFixture[str]):
    with tracked(CONFIG, run):
        run.metric("rl", 2, {"reward": 0.2})
    assert [row["step"] for row in noted(run.path, "row")] == [1, 2]
    assert noted(run.path, "close") == [{"what": "close", "done": True}]
    (event,) = events(run, "tracking")
    assert {name: event[name] for name in ("to", "sent", "failures", "lost")} == {
        "to": "wandb",
        "sent": 2,
        "failures": 0,
        "lost": 0,
    }
    # What libraries print is in their log alone: a command's standard output may be JSON.
    assert "printed by a library" in (run.path / "tracking" / "wandb.log").read_text()
    assert "printed by a library" not in "".join(capfd.readouterr())


def test_a_run_that_ends_by_a_fault_says_so_to_its_tracker_and_the_fault_goes_on(run: Run):
    with pytest.raises(KeyError, match="of the run"), tracked(CONFIG, run):
        raise KeyError("of the run")
    assert noted(run.path, "close") == [{"what": "close", "done": False}]
    assert len(noted(run.path, "row")) == 1


@pytest.mark.parametrize("how, said", [("refuse", "no way there"), ("fail", "cannot take it")])
def test_failures_are_one_warning_and_counted(run: Run, how: str, said: str):
    tell(run.path, how)
    with tracked(CONFIG, run):
        wait(lambda: events(run, "warning"))
        run.metric("rl", 2, {"reward": 0.2})
    (warning,) = events(run, "warning")
    assert said in warning["text"]
    (event,) = events(run, "tracking")
    assert event["failures"] > 0 and event["sent"] == 0
    assert "Traceback" in (run.path / "tracking" / "wandb.log").read_text()


def test_a_tracker_that_dies_is_a_warning_with_its_last_words(run: Run):
    tell(run.path, "die")
    with tracked(CONFIG, run):
        wait(lambda: events(run, "warning"))
    (warning,) = events(run, "warning")
    assert "ended early (3: its last words)" in warning["text"]


def test_a_tracker_that_hangs_holds_nobody_up_for_long(run: Run):
    tell(run.path, "hang")
    with tracked(CONFIG, run):
        wait(lambda: noted(run.path, "hang"))
    (warning,) = events(run, "warning")
    assert "ended early (1: not everything was sent within 0.2 s of the end of the run)" in warning["text"]


def test_a_tracker_that_does_not_even_notice_the_end_is_killed(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watching, "_SILENT_S", 0.1)
    monkeypatch.setattr(watching, "END_S", -9)
    tell(run.path, "stop")
    with tracked(CONFIG, run):
        pass
    (warning,) = events(run, "warning")
    assert "ended early (-9" in warning["text"]


def test_no_process_to_be_had_is_a_warning(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with tracked(CONFIG, run):
        pass
    (warning,) = events(run, "warning")
    assert "cannot be started" in warning["text"]


def killed(run: Run, *kinds: str) -> None:
    """An attempt that writes step 2 and dies by SIGKILL, once its tracker has noted something of these kinds."""
    code = f"""
import sys, time
sys.path[:] = {sys.path}
from pathlib import Path
from fake_tracker import noted
from metis_rise.recipe.tracking import TrackingConfig
from metis_rise.run import Run
from metis_rise.tracking import tracked, watching
watching.MODULES["wandb"] = "fake_tracker"
run = Run(Path({str(run.path)!r}))
with tracked(TrackingConfig(to=("wandb",)), run):
    while not noted(run.path, *{kinds}):
        time.sleep(0.05)
    run.metric("rl", 2, {{"reward": 0.2}})
    print("there", flush=True)
    time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)


def test_what_a_killed_run_wrote_is_sent_all_the_same(run: Run):
    killed(run, "row")
    # The next attempt does not wait for the first one's process, but its own process does.
    with tracked(CONFIG, run):
        run.metric("rl", 3, {"reward": 0.3})
    assert [row["step"] for row in noted(run.path, "row")] == [1, 2, 3]
    assert [row["done"] for row in noted(run.path, "close")] == [False, True]


def test_a_tracker_that_hung_when_its_run_was_killed_is_not_in_the_way_of_the_next_attempt(run: Run):
    tell(run.path, "hang")
    killed(run, "hang")
    tell(run.path, "")
    with tracked(CONFIG, run):
        run.metric("rl", 3, {"reward": 0.3})
    assert [row["step"] for row in noted(run.path, "row")] == [1, 2, 3]
    assert not events(run, "warning")


@pytest.mark.parametrize("found", [None, ModuleSpec("trackio", None, is_package=True)])
def test_a_package_that_is_not_installed_is_said_before_anything_begins(
    found: ModuleSpec | None, monkeypatch: pytest.MonkeyPatch
):
    there = ModuleSpec("there", None, origin="there.py")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found if name == "trackio" else there)
    check_trackers(TrackingConfig(to=("wandb", "tensorboard")))
    with pytest.raises(InputError, match=r"tracking.to = trackio: .* pip install 'metis-rise\[trackio\]'"):
        check_trackers(TrackingConfig(to=("wandb", "trackio")))
