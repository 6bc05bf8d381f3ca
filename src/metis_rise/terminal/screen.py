"""The one view of this process, and how loud it is."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import RLock
from typing import TextIO

from rich.console import Console
from tqdm import tqdm

from metis_rise.terminal.plain import plain
from metis_rise.terminal.view import View

_NARROW = 20


@dataclass(slots=True)
class _Screen:
    """quiet: warnings alone. apart: stdout is for a result, all else goes to stderr. warnings: those said so far."""

    quiet: bool = False
    apart: bool = False
    warnings: list[str] = field(default_factory=list)
    view: View | None = None
    lock: RLock = field(default_factory=RLock)


# Of the process, as its terminal is.
_screen = _Screen()


@contextmanager
def speaking(*, quiet: bool = False, apart: bool = False) -> Iterator[None]:
    """How loud this process is until the end of the block, where no view is left over.

    Args:
        quiet: nothing but warnings is said, on stderr.
        apart: stdout is for one result of the caller; everything else is said on stderr.
    """
    before = _screen.quiet, _screen.apart
    _screen.quiet, _screen.apart = quiet, apart
    try:
        yield
    finally:
        _screen.quiet, _screen.apart = before
        _screen.warnings.clear()
        # An error keeps alive what it has ended, bars in loops among it.
        end_view(_screen.view)


def say(text: str, *, warning: bool = False, aside: bool = False) -> None:
    """Says lines on the terminal, clear of what is drawn there.

    Args:
        text: what is said; what a terminal would obey in it is shown instead.
        warning: keep it in view, and say it even where all else is quiet.
        aside: on stderr, as what is no part of a command's output.
    """
    if warning:
        with _screen.lock:
            _screen.warnings.append(plain(text).removeprefix("warning: "))
    if warning or not _screen.quiet:
        aside = aside or _screen.apart or _screen.quiet
        stream = sys.stderr if aside else sys.stdout
        # It clears bars of tqdm, and the view listens to both streams.
        # A terminal that was closed, or a pipe that nobody reads, ends no run.
        with suppress(OSError):
            tqdm.write(_fitted(plain(text), stream), file=stream)


def _fitted(text: str, stream: TextIO) -> str:
    """On a terminal no word is broken at its edge, and what goes on is set in; elsewhere `text` as it is."""
    if not stream.isatty() or (width := os.get_terminal_size(stream.fileno()).columns) < _NARROW:
        return text
    wrap = textwrap.TextWrapper(
        width, subsequent_indent="  ", replace_whitespace=False, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join("\n".join(wrap.wrap(line)) for line in text.splitlines())


def is_quiet() -> bool:
    """Whether nothing but warnings is to be said."""
    return _screen.quiet


def table_console() -> Console:
    """Where a command's tables go: to nobody when all is quiet."""
    return Console(stderr=_screen.apart, quiet=_screen.quiet)


@contextmanager
def stage_view(heading: str) -> Iterator[None]:
    """One view until the end of the block, which all bars in it join, whatever comes of them."""
    view, _ = join_view(heading)
    if not _screen.quiet:
        view.start()
    try:
        yield
    finally:
        end_view(view)


def join_view(heading: str = "") -> tuple[View, bool]:
    """The view that is there, or a new one that is not drawn yet; whether it is new, and its maker to end it."""
    with _screen.lock:
        if _screen.view is not None:
            return _screen.view, False
        _screen.view = View(heading, _screen.warnings)
        return _screen.view, True


def end_view(view: View | None) -> None:
    """Takes a view away, if it is still there."""
    with _screen.lock:
        if view is not None and _screen.view is view:
            _screen.view = None
            view.stop()
