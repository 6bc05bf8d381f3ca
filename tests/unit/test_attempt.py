"""The log of one attempt at a run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from metis_rise.attempt import recorded
from metis_rise.errors import InputError
from metis_rise.redaction import hide
from metis_rise.run import Run


def attempt(run: Run, number: int) -> str:
    return (run.path / "logs" / f"{number:04}.txt").read_text()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.open(tmp_path, "mine", {})


def test_each_attempt_has_a_file_of_its_own_and_log_txt_has_all(run: Run):
    for text in ("first", "second"):
        with recorded() as begin:
            begin(run.path)
            run.log(text)
    assert "INFO first" in attempt(run, 1) and "second" not in attempt(run, 1)
    assert "INFO second" in attempt(run, 2) and "first" not in attempt(run, 2)
    assert [line.split(" ", 1)[1] for line in (run.path / "log.txt").read_text().splitlines()] == ["first", "second"]


def test_it_begins_with_what_was_done_and_holds_what_was_said_before_there_was_a_folder(run: Run):
    with recorded() as begin:
        run.log("early")
        begin(run.path)
    lines = attempt(run, 1).splitlines()
    assert "metis-rise" in lines[0] and "process" in lines[0]
    assert lines[1].endswith("INFO early") and lines[-1].endswith("INFO ended")


def test_warnings_have_their_level_and_those_of_libraries_are_printed_as_ever(
    run: Run, capsys: pytest.CaptureFixture[str]
):
    with recorded() as begin:
        begin(run.path)
        run.warn("look out")
        logging.getLogger("some.library").warning("old")
    assert "WARNING warning: look out" in attempt(run, 1) and "WARNING old" in attempt(run, 1)
    said = capsys.readouterr()
    assert (said.out + said.err).count("look out") == 1 and said.err.count("old") == 1


def test_an_unexpected_error_leaves_its_traceback_and_input_does_not(run: Run):
    for error in (InputError("row 3 is bad"), ZeroDivisionError("boom"), KeyboardInterrupt()):
        with pytest.raises(type(error)), recorded() as begin:
            begin(run.path)
            raise error
    assert "ERROR row 3 is bad" in attempt(run, 1) and "Traceback" not in attempt(run, 1)
    assert "Traceback" in attempt(run, 2) and "ZeroDivisionError: boom" in attempt(run, 2)
    assert "WARNING interrupted" in attempt(run, 3)


def test_a_key_in_a_library_s_warning_is_not_shown(run: Run, capsys: pytest.CaptureFixture[str]):
    hide("sk-0123456789abcdef", "OPENAI_API_KEY")
    with recorded() as begin:
        begin(run.path)
        logging.getLogger("urllib3").warning("retrying with sk-0123456789abcdef")
    shown = capsys.readouterr()
    assert "retrying with ***" in shown.err and "sk-0123" not in shown.err + shown.out


def test_keys_are_not_written(run: Run):
    hide("sk-attempt-secret-1")
    with recorded() as begin:
        begin(run.path)
        run.log("asked with sk-attempt-secret-1")
    assert "asked with ***" in attempt(run, 1)


def test_who_is_refused_writes_nothing_and_logging_is_as_before(tmp_path: Path):
    before = list(logging.getLogger().handlers)
    with pytest.raises(InputError), recorded():
        raise InputError("refused")
    assert list(tmp_path.iterdir()) == [] and logging.getLogger().handlers == before
