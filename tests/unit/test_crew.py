"""Helper processes: their answers, their deaths and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metis_rise.crew.crew import Crew
from metis_rise.crew.lines import Gone
from metis_rise.errors import InputError

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def crew(found: None) -> Iterator[Crew]:
    made = Crew("echo_helper", {"told": 1}, 2)
    yield made
    made.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A zombie is dead: nobody has waited for it yet.
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def gone(pid: int) -> bool:
    ends = time.monotonic() + PATIENCE_S
    while alive(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    return not alive(pid)


def test_jobs_and_bytes_come_back_from_as_many_processes_as_threads_ask(crew: Crew) -> None:
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda n: crew.ask({"n": n, "size": n * 50_000}), range(12)))
    for n, (values, data) in enumerate(answers):
        assert (values["n"], values["told"], bytes(data)) == (n, 1, b"\7" * n * 50_000)
    assert {values["pid"] for values, _ in answers} <= set(crew.pids())
    assert 1 <= len(crew.pids()) <= 2


def test_a_helper_that_was_killed_is_replaced_and_the_log_says_so(crew: Crew, caplog: pytest.LogCaptureFixture) -> None:
    first = crew.ask({})[0]["pid"]
    os.kill(first, signal.SIGKILL)
    assert crew.ask({"n": 5})[0]["n"] == 5
    assert crew.replaced == 1 and first not in crew.pids()
    assert f"helper process {first} of echo_helper ended: nothing was said (1 so far)" in caplog.text


def test_a_job_that_kills_its_helpers_is_named_with_their_last_words(crew: Crew) -> None:
    with pytest.raises(InputError, match=r"2 helper processes ended at this job, .*'die': True.*: out of luck"):
        crew.ask({"die": True})
    assert crew.pids() == []
    assert crew.ask({"n": 1})[0]["n"] == 1


def test_a_helper_that_cannot_begin_says_why() -> None:
    crew = Crew("echo_helper", {"broken": True}, 1)
    with pytest.raises(InputError, match="RuntimeError: cannot begin"):
        crew.ask({})


def test_a_closed_crew_has_no_processes_and_answers_nobody(crew: Crew) -> None:
    pid = crew.ask({})[0]["pid"]
    crew.close()
    assert not alive(pid)
    with pytest.raises(Gone):
        crew.ask({})


def test_helpers_end_with_the_process_that_asked_them(tmp_path: Path) -> None:
    code = (
        "import os, signal; from metis_rise.crew.crew import Crew; crew = Crew('echo_helper', {}, 1); "
        "print(crew.ask({})[0]['pid'], flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert gone(int(done.stdout))
