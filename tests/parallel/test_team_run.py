"""`rise run --nproc` and `torchrun -m metis_rise`, as a user starts them, and what ends them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from micro import ENVIRONMENT, MICRO, command, ok, rise

from metis_rise.run import STAGES, read_jsonl
from metis_rise.stopping import TOGETHER_S

SECONDS = 900
LONG = (*MICRO, "rl.steps=8")
LISTENING, LOOPBACK = "0A", {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def steps(folder: Path) -> list[dict[str, float]]:
    """Figures of the RL steps of the run in `folder`."""
    file = folder / "runs" / "tiny" / "metrics.jsonl"
    return [row["values"] for row in read_jsonl(file) if row["stage"] == "rl"] if file.exists() else []


def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts `rise ARGUMENTS` in a group of its own and waits for its second RL step."""
    process = subprocess.Popen(
        command(*arguments), cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    give_up = time.monotonic() + SECONDS
    while len(steps(folder)) < 2:
        assert process.poll() is None and time.monotonic() < give_up, process.communicate()[1]
        time.sleep(0.05)
    return process


def ranks(process: subprocess.Popen[str]) -> dict[int, int]:
    """Process ids by rank."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    found = {}
    for child in children:
        named = re.search(rb"\0RANK=(\d+)\0", b"\0" + Path(f"/proc/{child}/environ").read_bytes())
        if named is not None:
            found[int(named[1])] = int(child)
    return found


def listens(pid: int) -> set[str]:
    """The addresses that a process accepts connections at, as the kernel writes them."""
    own = {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == LISTENING and f"socket:[{rest[5]}]" in own:
                found.add(local.partition(":")[0])
    return found


def ended(pids: dict[int, int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


def test_the_whole_method_in_two_processes(tmp_path: Path) -> None:
    ok(tmp_path, "run", "tiny", *MICRO, "problems.picture_workers=1", "--nproc", "2")
    run = tmp_path / "runs" / "tiny"
    assert all((run / stage / "DONE").exists() for stage in STAGES)
    arms = json.loads((run / "summary.json").read_text())["arms"]
    assert set(arms) == {"base", "rl", "rise"} and arms["rise"]["greedy"]["n"] == 36
    figures = [row["values"] for row in read_jsonl(run / "metrics.jsonl") if "ranks_waiting" in row["values"]]
    assert len(figures) > 4 and all(0 <= values["ranks_waiting"] < 1 for values in figures)
    assert all(0 <= values["data_waiting"] < 1 for values in figures)
    assert "pictures: cut up ahead, helpers: 1 (problems.picture_workers)" in (run / "log.txt").read_text()
    assert all(values["images_encoded"] > 0 for values in steps(tmp_path)[:1])

    scored = (run / "6-evaluate" / "rise-greedy.jsonl").read_text()
    for file in ("rise-greedy.jsonl", "DONE"):
        (run / "6-evaluate" / file).unlink()
    ok(tmp_path, "eval", "tiny", *MICRO, "--nproc", "2")
    assert (run / "6-evaluate" / "rise-greedy.jsonl").read_text() == scored


def test_a_process_that_is_killed_ends_all_and_the_run_goes_on_with_another_number(tmp_path: Path) -> None:
    process = begin(tmp_path, "rl", "tiny", *LONG, "--nproc", "2")
    pids = ranks(process)
    os.kill(pids[1], signal.SIGKILL)
    said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 128 + signal.SIGKILL
    assert said.count("error: ") == 1 and "rank 1 was ended by SIGKILL" in said and "Traceback" not in said
    assert ended(pids)
    ok(tmp_path, "rl", "tiny", *LONG)
    run = tmp_path / "runs" / "tiny"
    assert "going on from checkpoint-" in (run / "log.txt").read_text()
    assert (run / "1-rl" / "DONE").exists() and len(steps(tmp_path)) == 8


def test_ctrl_c_is_said_once_and_names_the_command_that_goes_on(tmp_path: Path) -> None:
    process = begin(tmp_path, "rl", "tiny", *LONG, "--nproc", "2")
    pids = ranks(process)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 130
    assert said.count("interrupted; resume with: ") == 1 and "--nproc 2" in said and "Traceback" not in said
    assert "error: " not in said and ended(pids)


# A reward that keeps a step from ending for as long as a file is there, and says so with another.
HOLDING = """
import os, time

def reward(given):
    while os.path.exists("hold"):
        open("held", "w").close()
        time.sleep(0.05)
    return 0.0
"""


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "holding.py").write_text(HOLDING)
    settings = (*LONG, "rl.filter_bounds=closed", "rl.user_reward=holding:reward")
    process = begin(tmp_path, "rl", "tiny", *settings, "--nproc", "2")
    assert process.stderr is not None
    (tmp_path / "hold").touch()
    give_up = time.monotonic() + SECONDS
    while not (tmp_path / "held").exists():
        assert process.poll() is None and time.monotonic() < give_up, process.communicate()[1]
        time.sleep(0.05)
    pids, before = ranks(process), len(steps(tmp_path))
    process.send_signal(signal.SIGTERM)
    for line in process.stderr:
        if "interrupt again to stop at once" in line:
            break
    time.sleep(TOGETHER_S + 0.2)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 130, said
    assert ended(pids) and said.count("resume with: ") == 1 and "Traceback" not in said
    # The step that was under way was not waited for.
    assert len(steps(tmp_path)) == before


def test_processes_of_one_machine_listen_on_loopback_only(tmp_path: Path) -> None:
    process = begin(tmp_path, "rl", "tiny", *LONG, "--nproc", "2")
    pids = (process.pid, *ranks(process).values())
    found = [listens(pid) for pid in pids]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    assert any(found), "this test looks in the wrong place: processes that compute together are connected"
    assert set().union(*found) <= LOOPBACK


def test_bad_input_is_said_once_with_its_exit_code(tmp_path: Path) -> None:
    done = rise(tmp_path, "rl", "tiny", *MICRO, "rl.micro_tokens=90", "--nproc", "2")
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1 and "rl.micro_tokens = 90" in done.stderr


CRAMPED = """
import torch
from metis_rise.policy.scorer import Scorer

whole = Scorer.whole

def without_room(self, groups):
    if torch.is_grad_enabled():
        raise torch.OutOfMemoryError("CUDA out of memory")
    return whole(self, groups)

Scorer.whole = without_room

def reward(given):
    return 0.0
"""


def test_out_of_memory_in_one_process_ends_all_with_the_mend(tmp_path: Path) -> None:
    """The others wait for it in the middle of a pass; the recipe's own reward is what breaks the leader here."""
    (tmp_path / "cramped.py").write_text(CRAMPED)
    settings = (*MICRO, "rl.filter_bounds=closed", "rl.user_reward=cramped:reward", "rl.micro_tokens=3000")
    done = rise(tmp_path, "rl", "tiny", *settings, "--nproc", "2")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
    assert "out of memory in a pass over the model" in done.stderr and "micro_tokens=1500 would avoid it" in done.stderr


def test_a_bad_recipe_is_said_once(tmp_path: Path) -> None:
    arguments = ("rl", "tiny", "rl.steps=many")
    done = rise(tmp_path, *arguments, "--nproc", "2")
    assert done.returncode == 2 and done.stderr.count("error: ") == 1
    started = (*TORCHRUN, "-m", "metis_rise", *arguments)
    done = subprocess.run(
        started, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stderr.count("error: ") == 1 and "exitcode  : 2" in done.stderr


def test_processes_with_another_recipe_are_refused(tmp_path: Path) -> None:
    """As on nodes that were given other files: every process has its own command line here."""
    start = f"exec {sys.executable} -m metis_rise rl tiny {' '.join(MICRO)} rl.learning_rate=0.00$((RANK + 1))"
    done = subprocess.run(
        [*TORCHRUN, "--no-python", "bash", "-c", start],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode != 0
    assert re.search(r"error: rank 1 on \S+ has rl\.learning_rate = 0\.002, rank 0 on \S+ has 0\.001", done.stderr)
    assert done.stderr.count("error: ") == 1 and not (tmp_path / "runs").exists()


FAILING = """
import os, sys
from metis_rise.errors import InputError
from metis_rise.stages.team import operations

def fail(station, message):
    raise InputError("this one cannot")

if os.environ["RANK"] == "1":
    operations.OPERATIONS["update"] = fail
from metis_rise.cli import main
sys.argv[0] = "rise"
main()
"""


def test_what_one_process_fails_with_is_said_once_with_its_rank(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    done = subprocess.run(
        [*TORCHRUN, str(script), "rl", "tiny", *MICRO],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode != 0
    assert re.search(r"rank 1 on \S+:\nerror: this one cannot\n", done.stderr)
    assert done.stderr.count("error: ") == 1 and "exitcode  : 2" in done.stderr
