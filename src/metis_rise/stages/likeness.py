"""How alike two texts are, in time that grows with their length and not with its square."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

_WORD = re.compile(r"(?P<number>\d+(?:\.\d+)?)|[^\W\d_]+|\S")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A text as bags of its pairs of neighbouring words and of its numbers; spaces and case do not matter.

    A bag is a set of (item, how often it came before), so that bags are compared as fast as sets.
    """

    pairs: frozenset[Hashable]
    numbers: frozenset[Hashable]


def fingerprint(text: str) -> Fingerprint:
    """The fingerprint of `text`. A word is a run of letters, a number, or any other sign by itself."""
    found = list(_WORD.finditer(text.lower()))
    words = [match[0] for match in found]
    numbers = [match[0] for match in found if match["number"]]
    return Fingerprint(_bag(zip(["", *words], words, strict=False)), _bag(numbers))


def likeness(first: Fingerprint, second: Fingerprint) -> float:
    """Dice's coefficient of two texts, from 0 (nothing in common) to 1: of pairs or of numbers, the lower one.

    Numbers count by themselves, since texts that differ in a few numbers only are different calculations.
    """
    return min(_dice(first.pairs, second.pairs), _dice(first.numbers, second.numbers))


def _bag(items: Iterable[Hashable]) -> frozenset[Hashable]:
    before: Counter[Hashable] = Counter()
    bag = []
    for item in items:
        bag.append((item, before[item]))
        before[item] += 1
    return frozenset(bag)


def _dice(first: frozenset[Hashable], second: frozenset[Hashable]) -> float:
    total = len(first) + len(second)
    return 2 * len(first & second) / total if total else 1.0
