"""math-verify in workers: its verdicts, and that nothing that happens to a worker harms the next verdict."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from symbolic_cases import poisoned_in_a_thread, poisoned_then_right

from metis_rise.errors import InputError
from metis_rise.verifier.symbolic import SymbolicPool, pool, process, shared_pool, symbolic_same

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

FAKE = """
import os, signal, sys, time

def LatexExtractionConfig(**settings):
    return None

LatexNormalizationConfig = LatexExtractionConfig

def parse(text, targets, **settings):
    return [text.strip("$")]

def verify(golds, answers, **settings):
    gold, answer = golds[0], answers[0]
    {body}
    return gold == answer
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A function that puts `body` into a math-verify of the test's own, which compares texts, and gives its pool."""
    pools: list[SymbolicPool] = []

    def make(body: str, workers: int = 1, deadline_s: float = 20.0) -> SymbolicPool:
        package = tmp_path / "math_verify"
        package.mkdir()
        (package / "__init__.py").write_text(FAKE.format(body=body), encoding="utf-8")
        (package / "errors.py").write_text("class TimeoutException(BaseException): pass\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        pools.append(SymbolicPool(workers, deadline_s))
        return pools[-1]

    yield make
    for one in pools:
        one.close()


@pytest.fixture(scope="module")
def real() -> Iterator[SymbolicPool]:
    made = SymbolicPool(workers=1, deadline_s=20.0)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        ("(x+1)^2", "x^2+2x+1", True),
        (r"\frac{\sqrt{3}}{3}", r"$\frac{1}{\sqrt{3}}$", True),
        (r"\int_0^1 x dx", r"\frac{1}{2}", True),
        (r"\sin^2 t+\cos^2 t", "1", True),
        ("x^2+y^2=4", "y^2=4-x^2", True),
        ("(x+1)^2", "x^2+2x+2", False),
        (r"\log_2 9", "3", False),
        # What math-verify gets wrong as it is called by default.
        ("0.0000001", "0.0000002", False),
        ("e^{-50}", "e^{-51}", False),
        (r"\sqrt{10^{40}+1}", "10^{20}", False),
        ("3", "3t", False),
        ("12", r"12\text{ is wrong}", False),
        ("5", "not 5", False),
        ("5", "5 ]", None),
        # No formula: never the same as anything.
        ("x+", "x+", None),
        ("((", "1", None),
        ("", "", None),
        ("1", "\ud800", None),
    ],
)
def test_verdicts(real: SymbolicPool, gold: str, answer: str, verdict: bool | None):
    assert real.same(gold, answer) is verdict


def test_texts_beyond_the_bound_start_no_worker():
    empty = SymbolicPool(workers=1)
    assert empty.same("1", "1" * (pool.MAX_CHARS + 1)) is None
    assert empty.pids() == []


@pytest.mark.parametrize("run", [poisoned_then_right, poisoned_in_a_thread])
def test_a_poisoned_answer_costs_one_deadline(run):
    run()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_poisoned_answer_costs_one_deadline_in_a_child_process(method: str):
    child = multiprocessing.get_context(method).Process(target=poisoned_then_right)
    child.start()
    child.join(300)
    assert child.exitcode == 0


def test_the_shared_pool_answers_and_remembers():
    before = shared_pool().asked
    assert [symbolic_same("2a+b", "b+a+a") for _ in range(3)] == [True, True, True]
    assert shared_pool().asked - before == 1
    shared_pool().close()


def test_a_child_process_leaves_its_parents_workers_alone(fake):
    mine = fake("pass")
    assert mine.same("1", "1") is True
    pids = mine.pids()
    child = os.fork()
    if child == 0:
        # Ends by itself, with its own clean-up, unless it would hang or kill what is not its own.
        signal.alarm(120)
        status = 1
        try:
            assert mine.pids() == []
            assert mine.same("1", "2") is False
            mine.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert mine.same("1", "3") is False
    assert mine.pids() == pids


def test_a_worker_that_somebody_killed_is_replaced_without_loss_and_the_log_says_so(fake, caplog):
    mine = fake("pass")
    for number in range(3):
        assert mine.same(f"{number}", f"{number}") is True
        os.kill(mine.pids()[0], signal.SIGKILL)
    assert mine.same("7", "8") is False
    assert mine.undecided == 0
    # The third death is not news any more.
    assert [line.rpartition("(")[2] for line in caplog.messages] == ["1 so far)", "2 so far)"]


@pytest.mark.parametrize(
    "body",
    [
        "if gold == 'bad': os._exit(3)",
        "if gold == 'bad': os.kill(os.getpid(), signal.SIGSEGV)",
        "if gold == 'bad': raise MemoryError",
        "if gold == 'bad': raise sys.modules['math_verify.errors'].TimeoutException",
    ],
)
def test_what_crashes_is_undecided(fake, body: str):
    mine = fake(body)
    assert [mine.same(gold, "good") for gold in ("good", "bad", "good", "other")] == [True, None, True, False]


def test_what_is_printed_or_read_does_not_break_the_lines(fake):
    mine = fake("print('{\"same\": true}' * 50, flush=True); os.system('echo noise; echo noise >&2'); sys.stdin.read()")
    assert [mine.same("1", answer) for answer in ("2", "1", "3")] == [False, True, False]


def test_many_threads_get_their_own_verdicts(fake):
    mine = fake("time.sleep(0.005)", workers=3)
    pairs = [(str(number % 7), str(number % 5)) for number in range(160)]
    with ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(lambda pair: mine.same(*pair), pairs))
    assert verdicts == [gold == answer for gold, answer in pairs]
    assert len(mine.pids()) == 3


def test_one_caller_starts_one_worker(fake):
    mine = fake("pass", workers=4)
    assert all(mine.same(str(number), str(number)) for number in range(20))
    assert len(mine.pids()) == 1


def test_verdicts_are_remembered_up_to_a_bound(fake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "REMEMBERED", 2)
    mine = fake("pass")
    for answer in ("1", "2", "1", "3", "1", "2"):
        mine.same("1", answer)
    # "2" was forgotten when "3" came, since "1" had been used after it.
    assert mine.asked == 4


def test_ctrl_c_in_the_middle_of_a_pair_spoils_no_other(fake):
    mine = fake("if gold == 'slow': time.sleep(10)")
    assert mine.same("1", "1") is True

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            mine.same("slow", "slow")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert mine.same("1", "2") is False


def test_workers_are_out_of_reach_of_the_terminal(fake):
    mine = fake("pass")
    mine.same("1", "1")
    assert os.getsid(mine.pids()[0]) == mine.pids()[0]


@linux
def test_memory_is_bounded(fake, monkeypatch: pytest.MonkeyPatch):
    size = 256
    monkeypatch.setattr(process, "MEMORY_MB", size)
    mine = fake("bytearray(int(answer) << 20)")
    assert [mine.same("1", str(megabytes)) for megabytes in (size // 2, size, 1)] == [False, None, True]
    assert len(mine.pids()) == 1


@linux
def test_nothing_is_left_of_killed_and_closed_workers(fake):
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    # Of tests before, which is deleted when it happens to be.
    gc.collect()
    before = open_files()
    mine = fake("if gold.startswith('slow'): time.sleep(60)", deadline_s=0.2)
    seen = set()
    for gold in ("slow", "1", "slow 2", "2", "slow"):
        mine.same(gold, "1")
        seen.update(mine.pids())
    mine.close()
    assert len(seen) >= 2
    for pid in seen:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    assert open_files() == before


PARENT = """
import os, sys, threading, time
from metis_rise.verifier.symbolic import SymbolicPool

idle, busy = SymbolicPool(1, 6.0), SymbolicPool(1, 6.0)
for pool in (idle, busy):
    assert pool.same("x+1", "1+x")
if not os.fork():
    time.sleep(300)
threading.Thread(target=busy.same, args=("5", "9^{9^{9^{9}}}")).start()
time.sleep(0.2)
print(*idle.pids(), *busy.pids(), flush=True)
time.sleep(300)
"""


@linux
def test_workers_die_with_a_parent_that_was_killed():
    """Even while a process forked from it lives on."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2 and all(lives(pid) for pid in workers)
        parent.kill()
        ends = time.monotonic() + 60
        while any(lives(pid) for pid in workers) and time.monotonic() < ends:
            time.sleep(0.1)
        assert not any(lives(pid) for pid in workers)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.stdout.close()
        parent.wait()


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@linux
def test_workers_end_with_the_process_that_started_them():
    code = "from metis_rise.verifier.symbolic import *; print(symbolic_same('x', 'x'), *shared_pool().pids())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    verdict, pid = done.stdout.split()
    assert (verdict, done.stderr) == ("True", "")
    assert not lives(int(pid))


def test_a_broken_installation_is_an_error(fake, tmp_path: Path):
    mine = fake("pass")
    (tmp_path / "math_verify" / "__init__.py").write_text("import not_there_at_all\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"No module named 'not_there_at_all'.*pip install"):
        mine.same("1", "1")


def test_a_worker_that_cannot_start_is_an_error_with_its_last_words(fake, tmp_path: Path):
    mine = fake("pass")
    dying = "import os, sys\nprint('out of luck', file=sys.stderr, flush=True)\nos._exit(1)\n"
    (tmp_path / "math_verify" / "__init__.py").write_text(dying, encoding="utf-8")
    with pytest.raises(InputError, match="ended while it started: out of luck"):
        mine.same("1", "1")


def test_a_start_that_hangs_is_an_error(fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process, "START_S", 0.5)
    mine = fake("pass")
    (tmp_path / "math_verify" / "__init__.py").write_text("import time\ntime.sleep(60)\n", encoding="utf-8")
    with pytest.raises(InputError, match="not ready within"):
        mine.same("1", "1")
    assert mine.pids() == []


def test_no_python_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(InputError, match="'/no/such/python'"):
        SymbolicPool(workers=1).same("1", "1")
