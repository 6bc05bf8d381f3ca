"""SIGKILL during the expert stage, again and again: nothing that was answered is asked again, and nothing is lost."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from expert_shop import endpoint
from scripted_chat import RIGHT, WRONG, ChatServer, said, text_of
from scripted_server import Act, Call

from metis_rise.run import read_jsonl

PROBLEMS = 120
KILLS = 10
CONCURRENCY = 3
HERE = Path(__file__).parent
# Calls of one attempt before it is killed, and those that are answered until the kill comes: fewer than half of all.
CALLS, MORE = 12, 2 * CONCURRENCY


class Nursery:
    """Starts processes that do the stage in `folder`."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, str(HERE / "expert_nursery.py")]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
        self.arguments = arguments

    def start(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(self.arguments) + "\n")
        self.process.stdin.flush()
        return self._line()

    def ended(self) -> int:
        """The wait status of the process that was started last."""
        return self._line()

    def _line(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


def asked(call: Call) -> tuple[str, str, float | None]:
    """What makes a call another call: the model, the problem and the attempt."""
    return call.body["model"], text_of(call).partition("?")[0].rpartition("picture ")[2], call.body.get("temperature")


def journaled(folder: Path) -> set[tuple[str, str, float | None]]:
    file = folder / "run" / "4-expert" / "answers.jsonl"
    rows = read_jsonl(file) if file.exists() else []
    found = [
        (row["model"], row["problem"].removeprefix("p"), (None, 0.5)[row["attempt"]]) for row in rows if row["problem"]
    ]
    assert len(set(found)) == len(found)
    return set(found)


class Gate:
    """Holds calls from a number on, so that however late a kill comes there is work left to do."""

    def __init__(self) -> None:
        self._until: float = 0
        self._changed = threading.Condition()

    def open_until(self, number: float) -> None:
        """From now on calls before this one are answered."""
        with self._changed:
            self._until = number
            self._changed.notify_all()

    def pass_through(self, number: int) -> None:
        """Returns when this call may be answered."""
        with self._changed:
            assert self._changed.wait_for(lambda: number < self._until, 300)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def server(gate: Gate) -> Iterator[ChatServer]:
    """`a` solves a third at once and a third with the second temperature; `b` solves the rest; both take a while."""
    draw = Random(11)

    def script(call: Call) -> Act:
        gate.pass_through(call.number)
        model, index, temperature = asked(call)
        time.sleep(draw.uniform(0.002, 0.02))
        good = model == "b" or int(index) % 3 == 0 or (int(index) % 3 == 1 and temperature == 0.5)
        return said(RIGHT if good else WRONG)

    with ChatServer(script, ("a", "b")) as server:
        yield server


def test_ten_kills_lose_no_problem_and_pay_for_nothing_twice(tmp_path: Path, server: ChatServer, gate: Gate):
    ways = {"temperatures": "[null, 0.5]", "concurrency": CONCURRENCY}
    experts = [endpoint(server.url, name, **ways) for name in ("a", "b")]
    nursery = Nursery({"folder": str(tmp_path), "experts": experts, "count": PROBLEMS})
    nursery.arguments["folder"] = str(tmp_path)
    draw, frozen, lost = Random(2024), {}, 0
    for _ in range(KILLS):
        target = len(server.calls) + draw.randint(1, CALLS)
        gate.open_until(target + MORE)
        pid = nursery.start()
        wait_for(server, target)
        time.sleep(draw.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        assert os.WIFSIGNALED(nursery.ended()), "the stage must not have been done yet"
        gate.open_until(math.inf)
        quiet(server)
        counts = Counter(map(asked, server.asked))
        held = journaled(tmp_path)
        frozen |= {what: counts[what] for what in held}
        lost += 2 * CONCURRENCY
    assert not (tmp_path / "run" / "4-expert" / "outcomes.jsonl").exists()
    gate.open_until(math.inf)
    nursery.start()
    assert nursery.ended() == 0
    nursery.process.kill()

    counts = Counter(map(asked, server.asked))
    assert {what: counts[what] for what in frozen} == frozen, "a call that was journaled has been made again"
    assert len(frozen) >= KILLS
    needed = {(m, str(i), t) for i in range(PROBLEMS) for m, t in ways_of(i)}
    assert journaled(tmp_path) == set(counts) == needed
    assert counts.total() <= len(needed) + lost, "more than what was in flight has been lost"
    assert len(server.probes) <= 2 + KILLS
    folder = tmp_path / "run" / "4-expert"
    everybody = [f"p{i}" for i in range(PROBLEMS)]
    assert [row["problem"] for row in read_jsonl(folder / "outcomes.jsonl")] == everybody
    assert [row["problem_id"] for row in read_jsonl(folder / "trajectories-0000.jsonl")] == everybody


def ways_of(index: int) -> list[tuple[str, float | None]]:
    """The calls that problem `index` needs."""
    return [("a", None), *([("a", 0.5)] if index % 3 else []), *([("b", None)] if index % 3 == 2 else [])]


def wait_for(server: ChatServer, calls: int) -> None:
    end = time.monotonic() + 60
    while len(server.calls) < calls and time.monotonic() < end:
        time.sleep(0.001)


def quiet(server: ChatServer) -> None:
    """Until the server has noticed that nobody is there any more."""
    before = -1
    while before != len(server.calls):
        before = len(server.calls)
        time.sleep(0.05)
