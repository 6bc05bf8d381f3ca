"""The live view: what is under way, each with its bar, pace, end and numbers; the last warnings below."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import Progress, Task, TaskID
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metis_rise import stopping
from metis_rise.terminal.known import Known
from metis_rise.terminal.plain import one_line

_REFRESHES_PER_S = 4
# A step may take an hour, and a pace needs two: none is forgotten.
_MEMORY_S = 1e9
_NAME, _COUNT, _PACE, _LEFT = 20, 18, 13, 12
_WARNINGS = 2
_WIDTH_PER_NAME = 5
_WIDTH_PER_BLOCK = 12
_STOPPING = "stopping: this step is finished and kept first; interrupt again to stop at once"


class View(Progress):
    """Tasks of a `rich` progress display, drawn our way on stderr. A view that is not started only keeps count."""

    def __init__(self, heading: str, warnings: Sequence[str]) -> None:
        """`heading` says which stage this is; of `warnings`, which may grow, the last are shown."""
        # Rich draws once while it is made.
        self.heading, self.warnings, self._began = heading, warnings, time.monotonic()
        console = Console(stderr=True)
        # Rich takes a pipe for a terminal where FORCE_COLOR is set, as builders do.
        self.can_draw = sys.stderr.isatty() and not console.is_dumb_terminal
        super().__init__(
            console=console,
            refresh_per_second=_REFRESHES_PER_S,
            speed_estimate_period=_MEMORY_S,
            transient=True,
            # Where stdout goes to a file, lines for it must not be drawn on the terminal instead.
            redirect_stdout=sys.stdout.isatty(),
            disable=not self.can_draw,
        )

    def start(self) -> None:
        """Draws from now on, if the terminal can show it; a signal that asks to stop is then told by the view.

        A terminal that was closed is none that ends a run, neither here nor later.
        """
        if self.can_draw:
            stopping.told_by_view(True)
        with suppress(OSError):
            super().start()
            # Rich hides the cursor, and who is killed never shows it again. It stands on the view's empty last line.
            self.console.show_cursor(True)

    def stop(self) -> None:
        """Takes the view away; what was said above it stays."""
        if self.can_draw and self.live.is_started:
            with suppress(OSError):
                super().stop()
            stopping.told_by_view(False)

    def refresh(self) -> None:
        """Draws anew, where the terminal is still there."""
        with suppress(OSError):
            super().refresh()

    def add_known(self, description: str, total: int | None, unit: str, known: Known) -> TaskID:
        """A new task, which `known` counts in `unit`, a noun in the singular."""
        return self.add_task(one_line(description), total=total, completed=known.done, unit=unit, known=known)

    def count(self, task: TaskID) -> None:
        """Takes the pace of a task from how much of it is done by now."""
        self.update(task, completed=self._tasks[task].fields["known"].done)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The lines of the view."""
        if self.heading:
            yield _heading_row(self.heading, time.monotonic() - self._began)
        for task in self.tasks:
            known: Known = task.fields["known"]
            yield _bar_row(task, known, max(_NAME, self.console.width // _WIDTH_PER_NAME))
            if known.said:
                yield Padding(self._numbers_line(known), (0, 0, 0, 2))
        if stopping.asked():
            yield Text(_STOPPING, style="bold yellow", no_wrap=True, overflow="ellipsis")
        hidden = len(self.warnings) - _WARNINGS
        for text in self.warnings[-_WARNINGS:]:
            yield Text(f"! {' '.join(text.split())}", style="yellow", no_wrap=True, overflow="ellipsis")
        if hidden > 0:
            yield Text(f"! and {hidden} more above", style="yellow", no_wrap=True, overflow="ellipsis")
        # A place for what is typed, such as the ^C of an interrupt: after a line that is full it would begin another
        # one, of which the view does not know when it is drawn anew.
        yield Text("")

    def line(self, task_id: TaskID) -> str:
        """A task as one plain line, for where nothing can be redrawn."""
        task = self._tasks[task_id]
        known: Known = task.fields["known"]
        parts = [_count(task, known), _pace(task, known), _left(task, known)]
        parts += [f"{name} {value}".strip() for name, value in known.said.items()]
        return f"{task.description}: {', '.join(filter(None, parts))}"

    def _numbers_line(self, known: Known) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        # Another thread may say a new number meanwhile.
        for name, value in list(known.said.items()):
            line.append(f"{name} " if name else "", style="dim").append(value, style="bold")
            spark = known.past[name].spark(self.console.width // _WIDTH_PER_BLOCK) if name in known.past else ""
            line.append(f" {spark}" if spark else "", style="blue").append("   ")
        line.rstrip()
        return line


def _heading_row(heading: str, elapsed: float) -> Table:
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1, no_wrap=True)
    row.add_column(justify="right", no_wrap=True)
    row.add_row(Text(heading, style="bold cyan"), Text(_clock(elapsed), style="dim"))
    return row


def _bar_row(task: Task, known: Known, name: int) -> Table:
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(width=name, no_wrap=True, overflow="ellipsis")
    row.add_column(ratio=1)
    for width in (_COUNT, _PACE, _LEFT):
        row.add_column(width=width, justify="right", no_wrap=True, overflow="ellipsis")
    bar = ProgressBar(task.total, known.done, pulse=task.total is None, complete_style="cyan")
    pace, left = Text(_pace(task, known), style="dim"), Text(_left(task, known))
    row.add_row(Text(task.description), bar, Text(_count(task, known)), pace, left)
    return row


def _count(task: Task, known: Known) -> str:
    """How much is done, of how much: "20/50 steps"."""
    of = "" if task.total is None else f"/{task.total:,.0f}"
    return f"{known.done:,.0f}{of} {task.fields['unit']}s"


def _each(task: Task, known: Known) -> float | None:
    return known.seconds_each(task.finished_speed or task.speed)


def _pace(task: Task, known: Known) -> str:
    """Seconds for each, or each per second, whichever is above one; "" while it is not known."""
    each = _each(task, known)
    if not each:
        return ""
    return f"{1 / each:.1f}/s" if each <= 1 else f"{_short(each)} each"


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else _clock(seconds)


def _left(task: Task, known: Known) -> str:
    left = known.seconds_left(task.total, _each(task, known), time.monotonic())
    return "" if left is None else f"{_clock(left)} left"


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds: "0:01:33"."""
    return str(timedelta(seconds=round(seconds)))
