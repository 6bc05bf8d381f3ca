"""A problem file read to its end, a few rows in memory at a time, and what is kept of each."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from metis_rise.data.pictures import Gallery, Looker
from metis_rise.data.texts import digest, normal
from metis_rise.errors import InputError
from metis_rise.foreign.opening import open_rows
from metis_rise.problems.prompt import option_lines
from metis_rise.problems.reader import Draft, draft_row, stored_keys
from metis_rise.problems.row import RowFault
from metis_rise.problems.sources import Spool
from metis_rise.terminal import Loop
from metis_rise.types import Problem
from metis_rise.verifier.gold import check_gold

SHOWN = 100
"""So many bad rows are kept with their text; the others are counted by reason."""

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a usable row.

    row: its number in its file. text: digest of the question's normal form; length: of that, in characters. alike: of
    question and options in their normal form; asked: of both to the letter. answer: of the gold answer. pictures:
    numbers in the gallery.
    """

    row: int
    id: str
    text: bytes
    length: int
    alike: bytes
    asked: bytes
    answer: bytes
    pictures: tuple[int, ...]


@dataclass(slots=True)
class Survey:
    """A problem file: its usable rows, the others, counts.

    bad: of the rows that cannot be used, by reason; faults: row number and what is wrong, of the first of them.
    kinds, families: usable rows by answer type and by family. pictured: how many pictures a row has.
    """

    path: Path
    rows: int = 0
    entries: list[Entry] = field(default_factory=list)
    gallery: Gallery = field(default_factory=Gallery)
    bad: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    families: Counter[str] = field(default_factory=Counter)
    pictured: Counter[int] = field(default_factory=Counter)
    solutions: int = 0


Measure = Callable[[Problem, Sequence[tuple[int, int]]], None]
"""Is given each usable problem and the sizes of its pictures."""


def survey(path: Path, measure: Measure) -> Survey:
    """Reads the problem file at `path` as a run would.

    Raises:
        InputError: there is no such file, or it has no rows.
    """
    found = Survey(path)
    looker = Looker(found.gallery)
    with tempfile.TemporaryDirectory() as folder, closing(Spool(Path(folder))) as spool, closing(looker):
        for drafts in batches(drafts_of(found, spool)):
            stored = looker.look(picture for draft in drafts for picture in draft.pictures)
            for draft in drafts:
                try:
                    keys = stored_keys(draft, stored)
                except RowFault as fault:
                    _refuse(found, draft.row.number, fault)
                else:
                    _take(found, draft, keys, measure)
            # What lay inside of the file is not needed any more, and may be larger than the disk.
            looker.forget(picture for draft in drafts if draft.row.files for picture in draft.row.files)
            spool.close()
    if not found.rows:
        raise InputError(f"{path}: the file has no rows; write one JSON object per line")
    return found


def drafts_of(found: Survey, spool: Spool) -> Iterator[Draft]:
    """The rows whose fields can be used; the others are counted in `found`."""
    numbers: dict[str, int] = {}
    source = open_rows(found.path, spool)
    for number, raw in Loop(source.raw, desc=f"rows of {found.path.name}", unit="row"):
        found.rows += 1
        try:
            draft = draft_row(source.read(number, raw), check_gold, numbers)
        except RowFault as fault:
            _refuse(found, number, fault)
        else:
            numbers[draft.problem.id] = number
            yield draft


def _take(found: Survey, draft: Draft, keys: tuple[str, ...], measure: Measure) -> None:
    problem = draft.problem
    pictures = tuple(found.gallery.number(key) for key in keys)
    plain = normal(problem.question)
    options = option_lines(problem.choices)
    found.entries.append(
        Entry(
            row=draft.row.number,
            id=problem.id,
            text=digest(plain),
            length=len(plain),
            alike=digest(plain, normal(options)),
            asked=digest(problem.question, options),
            answer=digest(problem.answer),
            pictures=pictures,
        )
    )
    found.kinds[problem.answer_type.value] += 1
    found.families[problem.family] += 1
    found.pictured[len(pictures)] += 1
    found.solutions += problem.solution is not None
    measure(problem, [found.gallery.sizes[number] for number in pictures])


def _refuse(found: Survey, number: int, fault: RowFault) -> None:
    found.bad[fault.reason] += 1
    if len(found.faults) < SHOWN:
        found.faults.append((number, str(fault)))


def batches(drafts: Iterable[Draft]) -> Iterator[list[Draft]]:
    """So many at a time that pictures are looked at together, and few are in memory."""
    rest = iter(drafts)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch
