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
from metis_rise.terminal.known import Known
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
        for number in Loop(range(3), desc="dev greedy", unit="problem"):
            if number == 1:
                hold()
    say("last line")
"""


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_the_view_stands_below_what_is_said_and_leaves_nothing_behind(size: tuple[int, int]):
    terminal = Terminal(STAGE, *size)
    # A frame is drawn from the top and taken away from the bottom: whose last line is there is whole.
    terminal.wait_for("1/3 problems", "! 3 steps were small")
    lines = terminal.lines
    place = {text: next(i for i, line in enumerate(lines) if text in line) for text in ("first line", "a plain print")}
    head = next(i for i, line in enumerate(lines) if line.startswith("tiny: stage 1 of 6, 1-rl"))
    assert place["first line"] < place["a plain print"] < head
    assert "20/50 steps" in lines[head + 1] and "left" in lines[head + 1]
    assert all(text in lines[head + 2] for text in ("accuracy 0.90", "▁", "█", "format 1.00", "groups 3/4"))
    assert lines[head + 3].startswith("dev greedy")
    assert lines[head + 4] == "! 3 steps were small"
    terminal.go()
    assert terminal.finish() == 0
    assert terminal.lines == ["first line", "warning: 3 steps were small", "a plain print", "last line"]
    assert not terminal.screen.cursor.hidden


def test_lines_go_to_the_file_that_stdout_is_and_the_view_stays_on_the_terminal(tmp_path: Path):
    terminal = Terminal(STAGE, out=tmp_path / "out")
    terminal.wait_for("20/50 steps")
    terminal.go()
    terminal.finish()
    said = ["first line", "warning: 3 steps were small", "a plain print", "last line"]
    assert (tmp_path / "out").read_text().splitlines() == said
    assert terminal.text == ""


def test_a_signal_that_lets_a_step_end_is_told_by_the_view():
    code = """
from metis_rise.stopping import finished_first, heeding_signals
from metis_rise.terminal import Bar, say, stage_view
try:
    with heeding_signals(), stage_view("stage"), Bar(total=9, desc="RL", unit="step") as bar:
        with finished_first(lambda: say("kept")):
            bar.update()
            hold()
except KeyboardInterrupt:
    say("ended")
"""
    terminal = Terminal(code)
    terminal.wait_for("1/9 steps")
    os.kill(terminal.process.pid, signal.SIGINT)
    terminal.wait_for("interrupt again to stop at once")
    assert sum("stage" in line for line in terminal.lines) == 1
    terminal.go()
    terminal.finish()
    assert terminal.lines == ["kept", "ended"]


def test_what_is_typed_tears_no_view():
    code = """
from metis_rise.terminal import Bar, say, stage_view
with stage_view("stage"), Bar(total=9, desc="RL", unit="step") as bar:
    for _ in range(9):
        hold()
        bar.update()
say("ended")
"""
    terminal = Terminal(code)
    terminal.go()
    terminal.wait_for("1/9 steps")
    # A terminal shows them where the cursor is, as it does with the ^C of an interrupt.
    terminal.type(b"typed")
    for count in (2, 3, 4):
        terminal.go()
        terminal.wait_for(f"{count}/9 steps")
    assert sum("stage" in line for line in terminal.lines) == 1
    terminal.go(5)
    assert terminal.finish() == 0
    assert terminal.lines == ["ended"]


def test_who_is_killed_leaves_a_cursor():
    terminal = Terminal(STAGE)
    terminal.wait_for("1/3 problems")
    terminal.process.kill()
    terminal.finish()
    assert not terminal.screen.cursor.hidden
    assert terminal.screen.cursor.x == 0 and not terminal.screen.display[terminal.screen.cursor.y].strip()


def test_lines_are_broken_between_words_and_set_in():
    said = "1-rl: 30 s, 36 problems, 172 used; dropped: 108 groups all wrong, 48 groups right"
    address = "x" * 90
    code = f"""
from metis_rise.terminal import say
say({said!r})
say("report: {address}", aside=True)
say("narrow enough")
"""
    terminal = Terminal(code)
    assert terminal.finish() == 0
    assert terminal.lines[:2] == [said.removesuffix(" right"), "  right"]
    # What has no spaces, such as a path, is left whole to be copied.
    assert terminal.lines[2:] == ["report:", f"  {address[:78]}", address[78:], "narrow enough"]


def test_no_word_of_others_moves_the_cursor(capsys: pytest.CaptureFixture[str]):
    with speaking():
        say("note: \x1b[2J\x9b1A evil", warning=True)
        with stage_view("stage"):
            view, _ = join_view()
            view.add_known("\x1b[2Jtitle", 3, "row", Known(0, 0.0))
            console = Console(width=80, record=True, color_system=None)
            with console.capture() as found:
                console.print(view.get_renderable())
    assert capsys.readouterr().out == "note: \u241b[2J\ufffd1A evil\n"
    assert "\x1b" not in found.get() and "\x9b" not in found.get() and "\u241b[2Jtitle" in found.get()


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
            hold()
            raise InputError("row 3 is bad; mend it")
"""
    terminal = Terminal(code)
    terminal.wait_for("3/9 rows")
    terminal.go()
    terminal.finish()
    assert terminal.lines[0] == "error: row 3 is bad; mend it"
    assert "9 rows" not in terminal.text and not terminal.screen.cursor.hidden


def test_without_a_terminal_a_line_comes_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(bars, "LINE_EVERY_S", 0.0)
    monkeypatch.setattr(bars, "COUNTED_EVERY_S", 0.0)
    monkeypatch.setattr(bars, "_LINE_EVERY_SHARE", 0.0)
    with stage_view("stage"), Bar(total=4, initial=1, desc="RL", unit="step") as bar:
        for step in (2, 3):
            bar.set_postfix(accuracy=f"0.{step}")
            bar.update()
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first.startswith("RL: 2/4 steps") and first.endswith("accuracy 0.2")
    assert second.startswith("RL: 3/4 steps") and "left" in second and second.endswith("accuracy 0.3")


def test_without_a_terminal_a_long_bar_says_less_and_less(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    clock = [0.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: clock[0])
    with Bar(total=9000, desc="RL", unit="step") as bar:
        for _ in range(9000):
            clock[0] += 10
            bar.update()
    lines = capsys.readouterr().err.splitlines()
    # A line every 30 s in the first 25 minutes, and after 25 hours one in half an hour.
    assert 200 < len(lines) < 300
    assert [line.split()[1] for line in lines[:2]] == ["3/9,000", "6/9,000"] and "9,000/9,000" in lines[-1]


def test_without_a_terminal_work_that_is_soon_done_says_nothing(capsys: pytest.CaptureFixture[str]):
    assert list(Loop(iter("abc"), desc="rows", unit="row")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_quiet_leaves_warnings_alone_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(bars, "LINE_EVERY_S", 0.0)
    monkeypatch.setattr(bars, "COUNTED_EVERY_S", 0.0)
    monkeypatch.setattr(bars, "_LINE_EVERY_SHARE", 0.0)
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
    known = Known(12_345, 0.0)
    view.add_known("a description that is too long for a narrow terminal", 100_000, "answer", known)
    view.add_known("no total", None, "row", Known(0, 0.0))
    for value in range(700):
        known.say({"right": f"{value}.5%", "format": "x", "tokens": 81})
    console = Console(width=width, record=True, color_system=None)
    with console.capture() as found:
        console.print(view.get_renderable())
    lines = found.get().splitlines()
    assert len(lines) == 1 + 2 + 1 + 2 + 1 + 1 and max(map(len, lines)) <= width
    assert lines[-2].startswith("! and 2 more above") and lines[-1] == ""


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


def test_the_end_is_known_from_the_first_step_on():
    known = Known(10, began=100.0)
    assert known.seconds_each(None) is None and known.seconds_left(50, None, 110.0) is None
    known.count(1, 140.0)
    assert known.seconds_each(None) == 40.0
    # Later steps have a pace of their own, without what the first one waited for.
    assert known.seconds_each(0.1) == pytest.approx(10.0)
    assert known.seconds_left(50, 10.0, 140.0) == 390.0
    assert known.seconds_left(50, 10.0, 144.0) == 386.0
    assert known.seconds_left(50, 10.0, 999.0) == 380.0
    assert known.seconds_left(None, 10.0, 140.0) is None and known.seconds_left(11, 10.0, 140.0) is None


def test_the_view_counts_what_came_too_quickly_for_it():
    with stage_view("stage"), Bar(total=1000, desc="rows", unit="row") as bar:
        for _ in range(1000):
            bar.update()
        view, _ = join_view()
        console = Console(width=80, record=True, color_system=None)
        with console.capture() as found:
            console.print(view.get_renderable())
    assert "1,000/1,000 rows" in found.get()
