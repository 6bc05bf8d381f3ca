"""Rows of one file that ask the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metis_rise.data.picture_hash import Hashes, alike, alike_within
from metis_rise.data.survey import Entry, Survey
from metis_rise.terminal import Loop

# Rows that are compared together with all that are kept.
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Twin:
    """A row and an earlier one that asks the same."""

    entry: Entry
    earlier: Entry

    @property
    def agree(self) -> bool:
        """Whether their gold answers are the same text."""
        return self.entry.answer == self.earlier.answer


@dataclass(slots=True)
class Duplicates:
    """exact: the same question, options and picture files. near: the same but for spelling and the files' form."""

    exact: list[Twin] = field(default_factory=list)
    near: list[Twin] = field(default_factory=list)

    def contradictions(self) -> list[Twin]:
        """The twins whose gold answers differ: at most one of them is right."""
        return [twin for twin in (*self.exact, *self.near) if not twin.agree]


def find_duplicates(found: Survey) -> Duplicates:
    """Each row that asks what an earlier one asks, with the earliest such row."""
    result = Duplicates()
    firsts: dict[tuple[bytes, tuple[int, ...]], Entry] = {}
    for entry in found.entries:
        first = firsts.setdefault((entry.asked, entry.pictures), entry)
        if first is not entry:
            result.exact.append(Twin(entry, first))
    hashes = found.gallery.hashes
    for group in _groups(firsts.values()):
        result.near += _near(group, hashes)
    return result


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Rows with one normal form of text and as many pictures."""
    groups: dict[tuple[bytes, int], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.alike, len(entry.pictures)), []).append(entry)
    yield from (group for group in groups.values() if len(group) > 1)


def _near(group: Sequence[Entry], hashes: Hashes) -> Iterator[Twin]:
    """Twins in a group of rows that differ in their pictures at most.

    A row that has a twin is not compared with later ones: where thousands of pictures look alike, pairs are millions.
    """
    if not group[0].pictures:
        yield from (Twin(entry, group[0]) for entry in group[1:])
        return
    shown = hashes[_varied(np.array([entry.pictures for entry in group]))]
    kept: list[int] = []
    starts = range(0, len(group), _BLOCK)
    for start in Loop(starts, desc="pictures compared", unit="block") if len(starts) > 1 else starts:
        block, first = shown[start : start + _BLOCK], dict[int, int]()
        for row, earlier in alike(block, shown[kept]):
            first.setdefault(start + row, kept[earlier])
        for earlier, row in alike_within(block):
            if start + earlier not in first:
                first.setdefault(start + row, start + earlier)
        yield from (Twin(group[row], group[earlier]) for row, earlier in sorted(first.items()))
        kept += (row for row in range(start, start + len(block)) if row not in first)


def _varied(pictures: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pictures [rows, pictures of a row], those first that are the same in the fewest rows: they tell most apart."""
    different = [len(np.unique(column)) for column in pictures.T]
    return pictures[:, sorted(range(len(different)), key=lambda column: -different[column])]
