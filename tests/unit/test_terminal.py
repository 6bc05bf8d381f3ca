"""The live view: what is on the screen while work goes on and after it, and what comes where nothing can be redrawn."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console
from terminal_screen import Terminal

from metis_rise.attempt import recorded
from metis_rise.terminal import Bar, Loop, say, speaking, stage_view, table_console
from metis_rise.terminal import bar as bars
from metis_rise.terminal.history import History
from metis_rise.terminal.screen import join_view
from metis_rise.terminal.view import View

STAGE = """
import time
from metis_rise.terminal import Bar, Loop, say, speaking, stage_view
with speaking(), stage_view("tiny: stage 1 of 6, 1-rl"):
    say("first line")
    with Bar(total=50, initial=10, desc="RL", unit="step") as bar:
        for step in range(10):
            bar.set_postfix(accuracy=f"{0.1 * step:.2f}", format="1.00", groups="3/4")
            bar.update()
            time.sleep(0.02)
        say("warning: 3 steps were small", warning=True)
        print("a plain print")
        for _ in Loop(range(3), desc="dev greedy", unit="problem"):
            time.sleep(0.5)
    say("last line")
"""


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_the_view_stands_below_what_is_said_and_leaves_nothing_behind(size: tuple[int, int]):
    terminal = Terminal(STAGE, *size)
    terminal.wait_for("1/3 problems")
    lines = terminal.lines
    place = {text: next(i for i, line in enumerate(lines) if text in line) for text in ("first line", "a plain print")}
    head = next(i for i, line in enumerate(lines) if line.startswith("tiny: stage 1 of 6, 1-rl"))
    assert place["first line"] < place["a plain print"] < head
    assert "20/50 steps" in lines[head + 1] and "left" in lines[head + 1]
    assert all(text in lines[head + 2] for text in ("accuracy 0.90", "▁", "█", "format 1.00", "groups 3/4"))
    assert lines[head + 3].startswith("dev greedy")
    assert lines[head + 4] == "! 3 steps were small"
    assert terminal.finish() == 0
    assert terminal.lines == ["first line", "warning: 3 steps were small", "a plain print", "last line"]
    assert not terminal.screen.cursor.hidden


def test_lines_go_to_the_file_that_stdout_is_and_the_view_stays_on_the_terminal(tmp_path: Path):
    terminal = Terminal(STAGE, out=tmp_path / "out")
    terminal.wait_for("20/50 steps")
    terminal.finish()
    said = ["first line", "warning: 3 steps were small", "a plain print", "last line"]
    assert (tmp_path / "out").read_text().splitlines() == said
    assert terminal.text == ""


def test_a_signal_that_lets_a_step_end_is_told_by_the_view():
    code = """
import time
from metis_rise.stopping import finished_first, heeding_signals
from metis_rise.terminal import Bar, say, stage_view
try:
    with heeding_signals(), stage_view("stage"), Bar(total=9, desc="RL", unit="step") as bar:
        with finished_first(lambda: say("kept")):
            bar.update()
            for _ in range(30):
                time.sleep(0.1)
except KeyboardInterrupt:
    say("ended")
"""
    terminal = Terminal(code)
    terminal.wait_for("1/9 steps")
    os.kill(terminal.process.pid, signal.SIGINT)
    terminal.wait_for("interrupt again to stop at once")
    assert sum("stage" in line for line in terminal.lines) == 1
    terminal.finish()
    assert terminal.lines == ["kept", "ended"]


def test_an_error_in_a_loop_is_said_on_a_screen_without_the_view():
    code = """
import time
from metis_rise.cli.app import exit_codes
from metis_rise.errors import InputError
from metis_rise.terminal import Loop
with exit_codes(debug=False):
    for number in Loop(range(9), desc="rows", unit="row"):
        time.sleep(0.6)
        if number == 3:
            raise InputError("row 3 is bad; mend it")
"""
    terminal = Terminal(code)
    terminal.wait_for("3/9 rows")
    terminal.finish()
    assert terminal.lines[0] == "error: row 3 is bad; mend it"
    assert "9 rows" not in terminal.text and not terminal.screen.cursor.hidden


def test_without_a_terminal_a_line_comes_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(bars, "LINE_EVERY_S", 0.0)
    with stage_view("stage"), Bar(total=4, initial=1, desc="RL", unit="step") as bar:
        for step in (2, 3):
            bar.set_postfix(accuracy=f"0.{step}")
            bar.update()
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first.startswith("RL: 2/4 steps") and first.endswith("accuracy 0.2")
    assert second.startswith("RL: 3/4 steps") and "left" in second and second.endswith("accuracy 0.3")


def test_without_a_terminal_work_that_is_soon_done_says_nothing(capsys: pytest.CaptureFixture[str]):
    assert list(Loop(iter("abc"), desc="rows", unit="row")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_quiet_leaves_warnings_alone_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(bars, "LINE_EVERY_S", 0.0)
    with speaking(quiet=True):
        say("a line")
        say("warning: look out", warning=True)
        table_console().print("a table")
        with stage_view("stage"):
            list(Loop("abc", desc="rows", unit="row"))
    assert capsys.readouterr() == ("", "warning: look out\n")
    say("loud again")
    assert capsys.readouterr().out == "loud again\n"


def test_apart_leaves_stdout_to_the_result(capsys: pytest.CaptureFixture[str]):
    with speaking(apart=True):
        say("a line")
        table_console().print("a table")
        print("{}")
    assert capsys.readouterr() == ("{}\n", "a line\na table\n")


def test_warnings_of_libraries_are_kept_in_view(capsys: pytest.CaptureFixture[str]):
    with recorded(), stage_view("stage"):
        logging.getLogger("some.library").warning("old")
        view, _ = join_view()
        assert view.warnings[-1] == "old"
    assert capsys.readouterr().err == "old\n"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_of_the_view_is_broken(width: int):
    warnings = [f"warning {number} " + "long " * 60 for number in range(4)]
    view = View("a heading " * 20, warnings)
    task = view.add_task("a description that is too long", total=100_000, completed=12_345, unit="answer")
    view.add_task("no total", total=None, unit="row")
    view.numbers[task] = bars.Numbers()
    for value in range(700):
        view.numbers[task].update({"right": f"{value}.5%", "format": "x", "tokens": 81})
    console = Console(width=width, record=True, color_system=None)
    with console.capture() as found:
        console.print(view.get_renderable())
    lines = found.get().splitlines()
    assert len(lines) == 1 + 2 + 1 + 2 + 1 and max(map(len, lines)) <= width
    assert lines[-1].startswith("! and 2 more above")


def test_a_number_keeps_its_course_in_bounded_memory():
    history = History()
    assert history.spark(8) == ""
    for value in range(100_000):
        history.add(value)
    assert history.spark(8) == "▁▂▃▄▅▆▇█" and len(history._values) <= 512
    flat = History()
    for _ in range(5):
        flat.add(1.0)
    assert flat.spark(3) == "▄▄▄"
