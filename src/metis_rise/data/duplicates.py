"""Rows of one file that ask the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from metis_rise.data.picture_hash import Hashes, alike, alike_within, are_alike
from metis_rise.data.survey import Entry, Survey

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
    kept: list[Entry] = []
    starts = range(0, len(group), _BLOCK)
    few = len(starts) == 1 or None
    for start in tqdm(starts, desc="pictures compared", unit="block", leave=False, delay=2, disable=few):
        new: list[Entry] = []
        for entry, candidates in _candidates(group[start : start + _BLOCK], kept, hashes):
            first = next((each for each in candidates if _all_alike(entry, each, hashes)), None)
            if first is None:
                new.append(entry)
            else:
                yield Twin(entry, first)
        kept += new


def _candidates(block: Sequence[Entry], kept: Sequence[Entry], hashes: Hashes) -> Iterator[tuple[Entry, list[Entry]]]:
    """Each row of `block` with the rows in `kept`, and before it in the block, whose first picture looks alike."""
    first = hashes[[entry.pictures[0] for entry in block]]
    found: list[list[Entry]] = [[] for _ in block]
    if kept:
        for ours, theirs, _ in alike(first, hashes[[entry.pictures[0] for entry in kept]]):
            found[ours].append(kept[theirs])
    for earlier, later, _ in alike_within(first):
        found[later].append(block[earlier])
    yield from zip(block, found, strict=True)


def _all_alike(first: Entry, second: Entry, hashes: Hashes) -> bool:
    rest = zip(first.pictures[1:], second.pictures[1:], strict=True)
    return all(are_alike(hashes[ours], hashes[theirs]) for ours, theirs in rest)
