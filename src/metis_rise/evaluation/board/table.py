"""Which figures stand in the table, which are refused, and what has to be said of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from metis_rise.evaluation.board.cells import Board, Cell, Gain, Line, Section
from metis_rise.evaluation.board.entries import PUBLISHED, Entry
from metis_rise.evaluation.board.notes import Notes
from metis_rise.evaluation.board.published import COLUMNS, source
from metis_rise.evaluation.board.scores import Score

_CAPTION = (
    "In percent. MathVista, MathVision and LogicVista overall, MathVerse vision only, DynaMath worst case, "
    "WeMath strict. Mean: the plain mean of these six, where each of them is whole."
)
_INTERVALS = "With a figure: its 95 % interval, low and high, where it is known."


def make_board(entries: Sequence[Entry], *, intervals: bool = False) -> Board:
    """The table of `entries`, which keep their order; `intervals` beside the figures when asked for."""
    return _Builder(entries, intervals).board()


class _Builder:
    """Makes the lines of a table and collects the footnotes that they need."""

    def __init__(self, entries: Sequence[Entry], intervals: bool) -> None:
        self._entries = entries
        self._intervals = intervals
        self._notes = Notes()
        self._protocols: dict[str, None] = {}
        self._files = {name: _data_files(entries, name) for name in COLUMNS}

    def board(self) -> Board:
        """The whole table."""
        sections = tuple(
            _section(heading, [self._line(entry) for entry in group])
            for heading, group in groupby(self._entries, key=lambda entry: entry.section)
        )
        return Board(sections, self._notes.listed(), _CAPTION, self._warning(), tuple(self._remarks()))

    def _line(self, entry: Entry) -> Line:
        protocols = {name: self._protocol(entry.scores[name]) for name in COLUMNS if name in entry.scores}
        usual = [mark for mark, _ in Counter(protocols.values()).most_common(1)]
        unusual = {name: mark for name, mark in protocols.items() if mark not in usual}
        return Line(
            name=entry.name,
            role=entry.role,
            origin=entry.origin,
            marks=(*usual, *map(self._notes.mark, _faults(entry))),
            mean=self._mean(entry, mixed=bool(unusual)),
            cells=tuple(self._cell(entry, name, unusual.get(name)) for name in COLUMNS),
        )

    def _protocol(self, score: Score) -> str:
        """The mark of how a figure came about."""
        known = score.protocol
        text = f"{PUBLISHED}, protocol not recorded: {source()}" if known is None else known.conditions()
        mark = self._notes.mark(text)
        self._protocols[mark] = None
        return mark

    def _cell(self, entry: Entry, name: str, protocol: str | None) -> Cell:
        score = entry.scores.get(name)
        if score is None:
            return Cell()
        marks = [] if protocol is None else [protocol]
        if score.partial is not None:
            marks.append(self._notes.mark(f"{score.partial}: a part of the benchmark, in no mean"))
        if len(self._files[name]) > 1 and score.data_md5 is not None:
            other = f"{COLUMNS[name]} was read from another file in another row; here MD5 {score.data_md5}"
            marks.append(self._notes.mark(other))
        low, high = (score.low, score.high) if self._intervals else (None, None)
        return Cell(score.percent, low, high, tuple(marks), _gain(entry, name))

    def _mean(self, entry: Entry, *, mixed: bool) -> Cell:
        scores = [entry.scores.get(name) for name in COLUMNS]
        whole = [score.percent for score in scores if score is not None and score.partial is None]
        if len(whole) < len(COLUMNS):
            missing = _titles(name for name in COLUMNS if name not in entry.scores)
            part = _titles(name for name in COLUMNS if name in entry.scores and entry.scores[name].partial)
            why = [*([f"{missing} missing"] if missing else []), *([f"{part} in part only"] if part else [])]
            return Cell(marks=(self._notes.mark(f"no mean of six: {'; '.join(why)}"),))
        gains = [gain.points for name in COLUMNS if (gain := _gain(entry, name)) is not None]
        return Cell(
            _mean(whole) if entry.mean is None else entry.mean,
            marks=(self._notes.mark("a mean over figures of different protocols"),) if mixed else (),
            gain=Gain(_mean(gains)) if len(gains) == len(COLUMNS) else None,
        )

    def _warning(self) -> str | None:
        if len(self._protocols) < 2:
            return None
        return (
            f"Notes {', '.join(self._protocols)} are different protocols: a difference between figures of two of them "
            "is not one between the models alone. A protocol noted at a name or heading holds for all its figures that "
            "have none of their own."
        )

    def _remarks(self) -> Iterator[str]:
        if self._intervals:
            yield _INTERVALS
        further = [f"{entry.name}: {', '.join(more)}" for entry in self._entries if (more := _not_of_the_six(entry))]
        if further:
            yield f"Evaluated as well, but none of the six: {'; '.join(further)}."


def _section(heading: str, lines: Sequence[Line]) -> Section:
    """The lines under their heading, which takes over the marks that several lines all have."""
    several = len(lines) > 1
    shared = [mark for mark in lines[0].marks if several and all(mark in line.marks for line in lines)]
    rest = [replace(line, marks=tuple(mark for mark in line.marks if mark not in shared)) for line in lines]
    return Section(heading, tuple(shared), tuple(rest))


def _faults(entry: Entry) -> Iterator[str]:
    """What a reader must know of a whole row."""
    if entry.fault is not None:
        yield entry.fault
    cut = [
        f"{title} {100 * score.truncated:.1f} %"
        for name, title in COLUMNS.items()
        if (score := entry.scores.get(name)) is not None and score.truncated
    ]
    if cut:
        yield f"answers cut at the longest allowed: {', '.join(cut)}"


def _gain(entry: Entry, name: str) -> Gain | None:
    """What a figure is above that of the run's base; None where the two are not measured alike."""
    after, before = entry.scores.get(name), entry.base.get(name)
    if after is None or before is None or not after.comparable(before):
        return None
    points = after.percent - before.percent
    if after.low is None or after.high is None or before.low is None or before.high is None:
        return Gain(points)
    return Gain(points, (after.low > before.high) - (after.high < before.low))


def _mean(figures: Sequence[float]) -> float:
    return math.fsum(figures) / len(figures)


def _data_files(entries: Sequence[Entry], name: str) -> set[str]:
    """MD5s of the files that a benchmark was read from."""
    scores = (entry.scores.get(name) for entry in entries)
    return {score.data_md5 for score in scores if score is not None and score.data_md5 is not None}


def _not_of_the_six(entry: Entry) -> list[str]:
    return [name for name in entry.scores if name not in COLUMNS]


def _titles(names: Iterable[str]) -> str:
    return ", ".join(COLUMNS[name] for name in names)
