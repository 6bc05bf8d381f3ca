"""`rise data preview`: some problems of a file with their pictures, as one HTML page that needs nothing else."""

from __future__ import annotations

import random
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import typer

from metis_rise.data.survey import Survey, batches, drafts_of
from metis_rise.errors import InputError
from metis_rise.problems.answers import letter_of
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import Draft
from metis_rise.problems.sources import Spool
from metis_rise.problems.storing import store_file
from metis_rise.report.html import environment
from metis_rise.report.pictures import PictureBook
from metis_rise.run import write_atomic

# Bytes of all pictures, and characters of each text: the largest page stays under 10 MB.
_PICTURES = 3_500_000
_QUESTION, _SHORT, _OPTION, _FAULTS = 2000, 1000, 80, 20


@dataclass(frozen=True, slots=True)
class Card:
    """What the page shows of a problem. pictures: data URIs, or why one is not shown."""

    row: int
    id: str
    question: str
    options: tuple[tuple[str, str, bool], ...]
    answer: str
    kind: str
    facts: str
    solution: str
    pictures: tuple[tuple[str, str], ...]


def write_preview(path: Path, target: Path, number: int, seed: int) -> None:
    """Writes a page of `number` problems of the file at `path`, drawn by `seed`, and says where it is.

    Raises:
        InputError: there is no such file, or nothing in it can be shown.
    """
    found = Survey(path)
    with tempfile.TemporaryDirectory() as folder:
        store = ImageStore(Path(folder) / "images")
        with closing(Spool(Path(folder))) as spool:
            sample, usable = _sample(found, spool, store, number, random.Random(seed))
        if not sample:
            said = found.faults[0][1] if found.faults else f"{path}: the file has no rows; write one object per line"
            raise InputError(f"{said} (no row of {found.rows} can be shown)")
        cards = _cards(sample, PictureBook(store.folder))
    page = (
        environment()
        .get_template("preview.html.j2")
        .render(
            name=path.name,
            cards=cards,
            rows=found.rows,
            usable=usable,
            bad=found.bad.total(),
            faults=[what for _, what in found.faults[:_FAULTS]],
        )
    )
    # A lone surrogate, which JSON can hold, has no bytes in UTF-8.
    write_atomic(target, page.encode("utf-8", "replace"))
    typer.echo(f"{target}: {len(cards)} of {usable} problems")


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A problem of the sample; pictures: keys in the store, or why there is none."""

    draft: Draft
    pictures: tuple[tuple[str, str], ...]


def _sample(
    found: Survey, spool: Spool, store: ImageStore, number: int, chance: random.Random
) -> tuple[list[_Drawn], int]:
    """`number` problems, all equally likely, in the order of their file; and of how many they were drawn."""
    drawn: list[_Drawn] = []
    seen = 0
    for batch in batches(drafts_of(found, spool)):
        for draft in batch:
            seen += 1
            place = chance.randrange(seen) if seen > number else len(drawn)
            if place < number:
                drawn[place : place + 1] = [_Drawn(draft, tuple(_put(store, path) for path in draft.pictures))]
        spool.close()
    return sorted(drawn, key=lambda each: each.draft.row.number), seen


def _put(store: ImageStore, path: Path) -> tuple[str, str]:
    stored = store_file(store, path, many=False)
    return stored.key, stored.broken or stored.unreadable


def _cards(sample: list[_Drawn], book: PictureBook) -> list[Card]:
    left, cards = _PICTURES, []
    for drawn in sample:
        pictures = []
        for key, fault in drawn.pictures:
            uri = (book.uri(key) or "") if key else ""
            if len(uri) > left:
                uri, fault = "", "left out: the page would be too large"
            left -= len(uri)
            pictures.append((uri, fault))
        cards.append(_card(drawn.draft, tuple(pictures)))
    return cards


def _card(draft: Draft, pictures: tuple[tuple[str, str], ...]) -> Card:
    problem = draft.problem
    right = problem.answer.split(", ") if problem.choices else []
    options = [(letter_of(index), text) for index, text in enumerate(problem.choices or ())]
    facts = {"family": problem.family, "source": problem.source} | dict(problem.meta)
    return Card(
        row=draft.row.number,
        id=_cut(problem.id, _OPTION),
        question=_cut(problem.question, _QUESTION),
        options=tuple((letter, _cut(text, _OPTION), letter in right) for letter, text in options),
        answer=problem.answer,
        kind=problem.answer_type.value,
        facts=_cut(" · ".join(f"{name}: {value}" for name, value in facts.items() if value), _SHORT),
        solution=_cut(problem.solution or "", _SHORT),
        pictures=pictures,
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most} more characters)"
