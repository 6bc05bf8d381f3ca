"""A failing disk is told by the file that a user knows, and by what mends it."""

from __future__ import annotations

import errno
import logging
import shutil
from pathlib import Path

import pytest

from metis_rise.attempt import log, recorded
from metis_rise.disk import disk_fault, writing
from metis_rise.policy.folders import whole_folder

FULL = "No space left on device"


def test_a_write_that_fails_is_one_of_the_file_it_was_for():
    with pytest.raises(OSError) as caught, writing(Path("runs/a/DONE")):
        raise OSError(errno.ENOSPC, FULL)
    said = disk_fault(caught.value)
    assert said is not None and said.startswith(f"runs/a/DONE: {FULL}; free space on this disk, ")
    assert "run the same command again" in said


def test_what_a_library_says_in_words_is_understood():
    words = (f"Error while serializing: I/O error: {FULL} (os error 28)", f"[('a', 'b', '[Errno 28] {FULL}: b')]")
    for text, kind in zip(words, (RuntimeError, shutil.Error), strict=True):
        with pytest.raises(OSError) as caught, writing(Path("model")):
            raise kind(text)
        assert caught.value.errno == errno.ENOSPC and caught.value.filename == "model"


def test_other_errors_pass_as_they_are():
    for error in (ValueError("odd (os error 2)"), FileNotFoundError(errno.ENOENT, "not there", "x")):
        with pytest.raises(type(error)) as caught, writing(Path("f")):
            raise error
        assert caught.value is error and disk_fault(error) is None


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_only_of_a_write_the_right_to_write_is_missing(tmp_path: Path, number: int):
    read = disk_fault(OSError(number, "denied", "data/a.jsonl"))
    assert read is not None and read.startswith("data/a.jsonl: ") and read.endswith("give yourself the right to use it")
    for written in (tmp_path, tmp_path / "run", tmp_path / "run" / "DONE", tmp_path / "run" / ".DONE.tmp"):
        with pytest.raises(OSError) as caught, writing(tmp_path / "run" / "DONE"):
            raise OSError(number, "denied", str(written))
        said = disk_fault(caught.value)
        assert said is not None and said.startswith(f"{tmp_path / 'run' / 'DONE'}: ") and "right to write there" in said


def test_a_file_elsewhere_that_is_copied_is_told_for_itself(tmp_path: Path):
    error = PermissionError(errno.EACCES, "denied", str(tmp_path / "source" / "a"))
    with pytest.raises(OSError) as caught, writing(tmp_path / "target" / "a"):
        raise error
    assert caught.value is error


def test_a_rename_that_fails_is_told_by_its_target():
    error = OSError(errno.EIO, "Input/output error", ".preparing/a", None, "runs/a")
    assert str(disk_fault(error)).startswith("runs/a: ")


def test_a_folder_that_could_not_be_written_leaves_its_room_to_others(tmp_path: Path):
    with pytest.raises(OSError, match="checkpoint-1'"), whole_folder(tmp_path / "checkpoint-1") as folder:
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, FULL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_log_that_cannot_be_written_is_noted_once_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    opened = logging.FileHandler._open
    monkeypatch.setattr(logging.FileHandler, "_open", lambda handler: _full(opened(handler)))
    with recorded() as begin:
        begin(tmp_path)
        log.info("one")
        log.info("two")
    said = capsys.readouterr().err
    assert said.count("0001.txt: No space left on device; this log lacks lines") == 1 and "Traceback" not in said


def _full(file: object) -> object:
    file.close()
    return open("/dev/full", "w", encoding="utf-8")
