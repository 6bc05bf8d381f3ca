"""What a kill leaves half written is removed when the run is taken up, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from metis_rise.leftovers import delete_folder, remove_leftovers


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_is_half_written_goes_and_all_else_stays(tmp_path: Path):
    # In a container this attempt may have the number of the one that was killed.
    half = [f".DONE.{gone()}.tmp", f".log.{os.getpid()}.tmp", f"1-rl/.a.jsonl.{gone()}.tmp"]
    half += ["1-rl/.checkpoint-2.writing/x", ".m.retired/y"]
    whole = [
        "DONE",
        "notes.tmp",
        ".notes.tmp",
        "1-rl/checkpoint-2/x",
        "1-rl/my.writing/x",
        "m/y",
        # `rise report` is at work.
        f".report.html.{os.getppid()}.tmp",
    ]
    for name in (*half, *whole):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert remove_leftovers(tmp_path) == len(half)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(whole)
    assert not (tmp_path / "1-rl" / ".checkpoint-2.writing").exists()
    assert remove_leftovers(tmp_path) == 0


def test_a_link_is_not_followed(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    theirs = tmp_path / "elsewhere" / f".x.{gone()}.tmp"
    theirs.touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "images").symlink_to(tmp_path / "elsewhere")
    assert remove_leftovers(tmp_path / "run") == 0 and theirs.exists()


def test_a_deletion_that_was_killed_is_finished(tmp_path: Path):
    (tmp_path / ".r.deleted" / "1-rl").mkdir(parents=True)
    delete_folder(tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_a_deletion_that_was_killed_is_finished_when_the_run_is_taken_up(tmp_path: Path):
    (tmp_path / ".r.deleted" / "1-rl").mkdir(parents=True)
    (tmp_path / "r").mkdir()
    assert remove_leftovers(tmp_path / "r") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_folder_that_was_to_be_replaced_and_was_not_is_put_back(tmp_path: Path):
    for name in (".checkpoint-4.retired", ".model.retired", "model", ".checkpoint-4.writing"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "from").write_text(name)
    assert remove_leftovers(tmp_path) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-4", "model"]
    assert (tmp_path / "checkpoint-4" / "from").read_text() == ".checkpoint-4.retired"
    assert (tmp_path / "model" / "from").read_text() == "model"
