"""A table of figures as cells and footnotes, before anything is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

NONE = "-"


@dataclass(frozen=True, slots=True)
class Gain:
    """Points above the run's base; `way` is 1 or -1 where the two intervals lie apart, 0 within the noise."""

    points: float
    way: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure in percent (None: a dash) with its interval, its footnotes' marks, and its gain over the run's base."""

    percent: float | None = None
    low: float | None = None
    high: float | None = None
    marks: tuple[str, ...] = ()
    gain: Gain | None = None

    @property
    def text(self) -> str:
        """The figure with one decimal, or a dash."""
        return NONE if self.percent is None else one_decimal(self.percent)

    @property
    def interval(self) -> str | None:
        """Its 95 % interval, "65.1 to 71.0"; None where it is not known or not asked for."""
        return None if self.low is None or self.high is None else f"{one_decimal(self.low)} to {one_decimal(self.high)}"


@dataclass(frozen=True, slots=True)
class Line:
    """A model: its mean of the six, then a cell for each of them, in the order of the table.

    role, origin: as an `Entry` has them.
    """

    name: str
    role: str
    origin: str
    marks: tuple[str, ...]
    mean: Cell
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under one heading; a mark that all of them would have stands in `marks` instead."""

    heading: str
    marks: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """The whole table.

    notes: the footnotes, (mark, text).
    caption: what the figures are.
    warning: said where the figures were measured under different protocols, else None.
    remarks: what else there is to say of the table.
    """

    sections: tuple[Section, ...]
    notes: tuple[tuple[str, str], ...]
    caption: str
    warning: str | None
    remarks: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is said of the whole table, for where it stands below it."""
        return (self.caption, *([] if self.warning is None else [self.warning]), *self.remarks)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of all sections."""
        return tuple(line for section in self.sections for line in section.lines)


def one_decimal(percent: float) -> str:
    """A figure as the board prints it.

    A half goes up, as it does there; a mean of decimals may lie a bit below the half that it is.
    """
    return f"{math.floor(percent * 10 + 0.5 + 1e-6) / 10:.1f}"
