"""Bars of the live view: count what is done, and say numbers beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from types import TracebackType
from typing import Generic, Self, TypeVar

from metis_rise.terminal.known import Known
from metis_rise.terminal.screen import end_view, is_quiet, join_view, say

T = TypeVar("T")

SHOWN_AFTER_S = 1.0
"""A bar outside a stage's view appears when it has lasted so long."""

LINE_EVERY_S = 30.0
"""Seconds between two plain lines of one bar, at least, where nothing can be redrawn."""

COUNTED_EVERY_S = 0.05
"""Seconds between two looks at the view: of a million quick rows not each is worth one. It looks by itself as well."""

# A bar of a day says some hundreds of lines, and not thousands.
_LINE_EVERY_SHARE = 0.02


class Bar:
    """Progress through what `update` counts; shown until it is closed.

    Args:
        total: how much there is; None where that is not known.
        initial: how much was done before.
        desc: what it is.
        unit: what is counted, in the singular.
    """

    def __init__(self, *, total: int | None, initial: int = 0, desc: str, unit: str) -> None:
        self._view, self._owned = join_view()
        self._began = self._counted = self._lined = time.monotonic()
        self._known = Known(initial, self._began)
        self._task = self._view.add_known(desc, total, unit, self._known)
        self._last_line = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, count: int = 1) -> None:
        """So many more are done."""
        view, now = self._view, time.monotonic()
        self._known.count(count, now)
        if now - self._counted < COUNTED_EVERY_S:
            return
        self._counted = now
        view.count(self._task)
        if is_quiet():
            return
        if not view.can_draw:
            if now - self._lined >= max(LINE_EVERY_S, _LINE_EVERY_SHARE * (now - self._began)):
                self._say_line(now)
        elif self._owned and not view.live.is_started and now - self._began >= SHOWN_AFTER_S:
            view.start()

    def counted(self, items: Iterable[T]) -> Iterator[T]:
        """Each of `items`, counted when it has been used."""
        for item in items:
            yield item
            self.update()

    def set_postfix(self, values: Mapping[str, object] | None = None, **more: object) -> None:
        """The numbers that are said beside the bar, by name; a name that is not given keeps its number."""
        self._known.say({**(values or {}), **more})

    def close(self) -> None:
        """Takes the bar away; a bar that spoke in lines says how it ended."""
        if self._last_line:
            self._say_line(time.monotonic())
        if self._task in self._view.task_ids:
            self._view.remove_task(self._task)
        if self._owned:
            end_view(self._view)

    def _say_line(self, now: float) -> None:
        line = self._view.line(self._task) if self._task in self._view.task_ids else self._last_line
        if line != self._last_line:
            say(line, aside=True)
        self._lined, self._last_line = now, line


class Loop(Bar, Generic[T]):
    """A bar that `for` goes through, closed at the end of the loop; `total` is the iterable's length if it has one."""

    def __init__(self, iterable: Iterable[T], *, total: int | None = None, desc: str, unit: str) -> None:
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        super().__init__(total=total, desc=desc, unit=unit)
        self._iterable = iterable

    def __iter__(self) -> Iterator[T]:
        with self:
            yield from self.counted(self._iterable)
