"""The guard sees what it is there to see."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import guard
import pytest


def test_what_is_written_elsewhere_is_seen_and_what_is_written_there_is_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "way out").symlink_to(tmp_path)
    with guard.guarded(run) as strayed:
        (run / "a").write_text("x")
        (tmp_path / "run" / "a").read_text()
    assert strayed == []
    with guard.guarded(run) as strayed:
        (tmp_path / "b").write_text("x")
        (run / "way out" / "c").write_text("x")
        (tmp_path / "d").mkdir()
        os.rename(run / "a", tmp_path / "e")
    assert [line.rpartition("/")[2] for line in strayed] == ["b", "c", "d", "e"]


def test_programs_and_connections_are_seen(tmp_path: Path) -> None:
    with guard.guarded(tmp_path) as strayed:
        subprocess.run(["true"], check=True)
        with socket.socket() as one, pytest.raises(OSError):
            one.connect(("127.0.0.1", 9))
    assert any("Popen" in line for line in strayed) and any("connect" in line for line in strayed)


def test_a_hang_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.1)
    with pytest.raises(guard.Hang), guard.guarded(tmp_path):
        while True:
            pass
