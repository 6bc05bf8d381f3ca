"""Adaptive diagnosis as a user runs it: reuse of RL's samples, a kill, and what is then left to do."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from micro import ENVIRONMENT, MICRO, command, ok

from metis_rise.stages.journals import JOURNAL, by_problem

SETTINGS = (*MICRO, "diagnose.max_samples=7", "diagnose.reuse_rl=true", "diagnose.reuse_staleness=2")


def result(run: Path) -> dict[str, Any]:
    return json.loads((run / "2-diagnose" / "DONE").read_text())


def samples(run: Path) -> dict[str, dict[int, str]]:
    rates = result(run)["solve_rates"]
    found = by_problem(run / "2-diagnose" / JOURNAL, set(rates))
    return {key: {t.sample: t.text for t in trajectories} for key, trajectories in found}


def test_a_killed_diagnosis_that_reuses_rl_ends_as_one_that_was_not(tmp_path: Path):
    ok(tmp_path, "rl", "tiny", *SETTINGS, "--name", "calm")
    calm, killed = (tmp_path / "runs" / name for name in ("calm", "killed"))
    shutil.copytree(calm, killed)
    printed = ok(tmp_path, "diagnose", "tiny", *SETTINGS, "--name", "calm")
    sampling = result(calm)["sampling"]
    assert sampling["reused"] > 0 and 0 < sampling["drawn"] < sampling["fixed"] == 7 * 36
    assert f"{sampling['drawn']} samples drawn and {sampling['reused']} reused from RL" in printed
    journal = killed / "2-diagnose" / JOURNAL
    arguments = command("diagnose", "tiny", *SETTINGS, "--name", "killed")
    process = subprocess.Popen(arguments, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    # Reused samples come in one piece; three groups more are in the middle of the first round.
    while process.poll() is None and lines(journal) < sampling["reused"] + 9:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert not (killed / "2-diagnose" / "DONE").exists()
    with journal.open("rb+") as file:
        file.truncate(journal.stat().st_size - 100)
    ok(tmp_path, "diagnose", "tiny", *SETTINGS, "--name", "killed")
    first, second = (result(run) for run in (calm, killed))
    assert first | {"seconds": 0} == second | {"seconds": 0}
    assert samples(calm) == samples(killed)


def lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0
