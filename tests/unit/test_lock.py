"""One process at a time works in a folder, whatever has become of those before."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metis_rise import lock
from metis_rise.errors import InputError
from metis_rise.lock import Holder, locked

HOLD = """
import subprocess, sys
from pathlib import Path
from metis_rise.lock import locked
with locked(Path(sys.argv[1]), "go"):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) if sys.argv[2:] else None
    print(child.pid if child else "held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that holds the lock of `folder`, and what it says."""
    command = [sys.executable, "-c", HOLD, str(folder), *more]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path: Path):
    mend = "choose another --name"
    with (
        another(tmp_path / "run") as (process, _),
        pytest.raises(InputError) as refused,
        locked(tmp_path / "run", mend),
    ):
        pytest.fail("two hold it")
    said = str(refused.value)
    assert f"process {process.pid} on {socket.gethostname()}" in said and said.endswith(mend)
    assert "\n" not in said


def test_another_name_for_the_same_folder_is_refused_too(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    with locked(tmp_path / "run", "go"), pytest.raises(InputError), locked(tmp_path / "link", "go"):
        pytest.fail("two hold it")


def test_who_is_killed_leaves_nothing_that_blocks_even_if_its_child_lives_on(tmp_path: Path):
    with another(tmp_path / "run", "with a child") as (process, child):
        process.send_signal(signal.SIGKILL)
        process.wait()
        try:
            assert (tmp_path / ".run.lock").exists()
            with locked(tmp_path / "run", "go"):
                assert json.loads((tmp_path / ".run.lock").read_text())["pid"] == os.getpid()
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_nothing_is_left_behind_and_what_was_made_in_between_stays(tmp_path: Path):
    with locked(tmp_path / "runs" / "deep" / "run", "go"):
        assert (tmp_path / "runs" / "deep" / ".run.lock").exists()
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "runs" / "run", "go"):
        (tmp_path / "runs" / "run").mkdir()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]
    with pytest.raises(RuntimeError), locked(tmp_path / "other" / "run", "go"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff" * 2000])
def test_a_file_that_says_nothing_is_taken_over(tmp_path: Path, content: bytes):
    (tmp_path / ".run.lock").write_bytes(content)
    with locked(tmp_path / "run", "go"):
        assert json.loads((tmp_path / ".run.lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def elsewhere(file: Path) -> Holder:
    """Writes a holder on another machine into the lock, as on a shared file system without locks."""
    holder = Holder(4321, "far-away", "another boot", "2026-01-01T00:00:00+00:00")
    file.write_bytes(holder.to_bytes(0))
    return holder


def test_a_holder_on_another_machine_that_still_writes_keeps_it(tmp_path: Path):
    file, end = tmp_path / ".run.lock", threading.Event()
    holder = elsewhere(file)

    def beat() -> None:
        # In place, as a holder does: a file that is emptied first says nothing for a moment, and can be taken over.
        with file.open("r+b", buffering=0) as written:
            for number in range(1, 1000):
                os.pwrite(written.fileno(), holder.to_bytes(number), 0)
                if end.wait(0.1):
                    return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(InputError, match="process 4321 on far-away"), locked(tmp_path / "run", "go"):
            pytest.fail("two hold it")
    finally:
        end.set()
        thread.join()
    assert Holder.from_bytes(file.read_bytes()) == holder


def test_a_holder_on_another_machine_that_is_silent_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(lock, "SILENCE_S", 0.6)
    elsewhere(tmp_path / ".run.lock")
    with locked(tmp_path / "run", "go"):
        assert json.loads((tmp_path / ".run.lock").read_text())["pid"] == os.getpid()
    assert "far-away" in capsys.readouterr().err
    assert not (tmp_path / ".run.lock").exists()


def test_where_the_file_system_has_no_locks_the_holder_still_keeps_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lock, "_lock", lambda _: None)
    monkeypatch.setattr(lock, "BEAT_S", 0.1)
    with locked(tmp_path / "run", "go"), pytest.raises(InputError), locked(tmp_path / "run", "go"):
        pytest.fail("two hold it")


def test_the_holder_changes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.02)
    file, seen = tmp_path / ".run.lock", set[bytes]()
    with locked(tmp_path / "run", "go"):
        end = time.monotonic() + 30
        while len(seen) < 3 and time.monotonic() < end:
            seen.add(file.read_bytes())
    assert len(seen) >= 3 and {Holder.from_bytes(data) for data in seen} != {None}


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot lock"), locked(tmp_path / "file" / "run", "go"):
        pytest.fail("held")


def test_many_at_once_never_hold_it_together(tmp_path: Path):
    """Each deletes the file while others open it: who holds a deleted file must notice."""
    (tmp_path / "runs").mkdir()
    holding, together, held = [], [], []

    def work() -> None:
        for _ in range(200):
            try:
                with locked(tmp_path / "runs" / "run", "go"):
                    holding.append(1)
                    together.append(len(holding))
                    holding.pop()
                    held.append(1)
            except InputError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held and set(together) == {1}
