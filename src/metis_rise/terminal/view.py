"""The live view: what is under way, each with its bar, pace, end and numbers; the last warnings below."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import isfinite

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import Progress, Task, TaskID
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metis_rise import stopping
from metis_rise.terminal.history import History

_REFRESHES_PER_S = 4
# A step may take an hour, and a pace needs two: none is forgotten.
_MEMORY_S = 1e9
_NAME, _COUNT, _PACE, _LEFT = 20, 18, 13, 12
_WARNINGS = 2
_WIDTH_PER_BLOCK = 12
_STOPPING = "stopping: this step is finished and kept first; interrupt again to stop at once"


@dataclass(slots=True)
class Numbers:
    """What is said of a task beside its bar, by name, and how each number went."""

    said: dict[str, str] = field(default_factory=dict)
    past: dict[str, History] = field(default_factory=dict)

    def update(self, values: Mapping[str, object]) -> None:
        """Replaces what is said of the names in `values`; what reads as a number joins its past."""
        for name, value in values.items():
            self.said[name] = str(value)
            number = _number(self.said[name])
            if number is not None:
                self.past.setdefault(name, History()).add(number)


class View(Progress):
    """Tasks of a `rich` progress display, drawn our way on stderr. A view that is not `live` only keeps count."""

    def __init__(self, heading: str, warnings: Sequence[str]) -> None:
        """`heading` says which stage this is; of `warnings`, which may grow, the last are shown."""
        # Rich draws once while it is made.
        self.heading, self.warnings, self._began = heading, warnings, time.monotonic()
        self.numbers: dict[TaskID, Numbers] = {}
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
        """Draws from now on, if the terminal can show it; a signal that asks to stop is then told by the view."""
        if self.can_draw:
            stopping.told_by_view(True)
        super().start()

    def stop(self) -> None:
        """Takes the view away; what was said above it stays."""
        if self.can_draw and self.live.is_started:
            super().stop()
            stopping.told_by_view(False)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The lines of the view."""
        if self.heading:
            elapsed = Text(_clock(time.monotonic() - self._began), style="dim")
            row = Table.grid(expand=True, padding=(0, 1))
            row.add_column(ratio=1, no_wrap=True)
            row.add_column(justify="right", no_wrap=True)
            row.add_row(Text(self.heading, style="bold cyan"), elapsed)
            yield row
        for task in self.tasks:
            yield _bar_row(task)
            if numbers := self.numbers.get(task.id):
                yield Padding(self._numbers_line(numbers), (0, 0, 0, 2))
        if stopping.asked():
            yield Text(_STOPPING, style="bold yellow", no_wrap=True, overflow="ellipsis")
        hidden = len(self.warnings) - _WARNINGS
        for text in self.warnings[-_WARNINGS:]:
            yield Text(f"! {' '.join(text.split())}", style="yellow", no_wrap=True, overflow="ellipsis")
        if hidden > 0:
            yield Text(f"! and {hidden} more above", style="yellow", no_wrap=True, overflow="ellipsis")

    def line(self, task_id: TaskID) -> str:
        """A task as one plain line, for where nothing can be redrawn."""
        task = self._tasks[task_id]
        pace, left = _pace(task), _left(task)
        parts = [_count(task), *([pace] if pace else []), *([left] if left else [])]
        if numbers := self.numbers.get(task_id):
            parts += [f"{name} {value}".strip() for name, value in numbers.said.items()]
        return f"{task.description}: {', '.join(parts)}"

    def _numbers_line(self, numbers: Numbers) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        # Another thread may say a new number meanwhile.
        for name, value in list(numbers.said.items()):
            line.append(f"{name} " if name else "", style="dim").append(value, style="bold")
            spark = numbers.past[name].spark(self.console.width // _WIDTH_PER_BLOCK) if name in numbers.past else ""
            line.append(f" {spark}" if spark else "", style="blue").append("   ")
        line.rstrip()
        return line


def _bar_row(task: Task) -> Table:
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(width=_NAME, no_wrap=True, overflow="ellipsis")
    row.add_column(ratio=1)
    for width in (_COUNT, _PACE, _LEFT):
        row.add_column(width=width, justify="right", no_wrap=True, overflow="ellipsis")
    bar = ProgressBar(task.total, task.completed, pulse=task.total is None, complete_style="cyan")
    row.add_row(Text(task.description), bar, Text(_count(task)), Text(_pace(task), style="dim"), Text(_left(task)))
    return row


def _count(task: Task) -> str:
    """How much is done, of how much: "20/50 steps"."""
    unit = f"{task.fields['unit']}s"
    return f"{task.completed:,.0f} {unit}" if task.total is None else f"{task.completed:,.0f}/{task.total:,.0f} {unit}"


def _pace(task: Task) -> str:
    """Seconds for each, or each per second, whichever is above one; "" while it is not known."""
    speed = task.finished_speed or task.speed
    if not speed:
        return ""
    return f"{speed:.1f}/s" if speed >= 1 else f"{_short(1 / speed)} each"


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else _clock(seconds)


def _left(task: Task) -> str:
    left = task.time_remaining
    return "" if left is None or task.finished else f"{_clock(left)} left"


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds: "0:01:33"."""
    return str(timedelta(seconds=round(seconds)))


def _number(text: str) -> float | None:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return None
    return value if isfinite(value) else None
