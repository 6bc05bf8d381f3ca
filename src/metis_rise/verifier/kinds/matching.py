"""Answers made of several members: yes, no or not known, from what is known of the members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Same = bool | None
"""Whether two values are the same; None where that is not known."""

T = TypeVar("T")


def every(verdicts: Iterable[Same]) -> Same:
    """False once one is False, else None if one is not known."""
    known: Same = True
    for verdict in verdicts:
        if verdict is False:
            return False
        if verdict is None:
            known = None
    return known


def in_order(golds: Sequence[T], answers: Sequence[T], same: Callable[[T, T], Same]) -> Same:
    """Whether both have the same members one by one."""
    if len(golds) != len(answers):
        return False
    return every(same(gold, answer) for gold, answer in zip(golds, answers, strict=True))


def in_any_order(golds: Sequence[T], answers: Sequence[T], same: Callable[[T, T], Same]) -> Same:
    """Whether every member of the one has a partner of its own in the other."""
    if len(golds) != len(answers):
        return False
    table = [[same(gold, answer) for answer in answers] for gold in golds]
    if _has_partners([[index for index, verdict in enumerate(row) if verdict is True] for row in table]):
        return True
    possible = [[index for index, verdict in enumerate(row) if verdict is not False] for row in table]
    return None if _has_partners(possible) else False


def distinct(values: Sequence[T], same: Callable[[T, T], Same]) -> list[T]:
    """`values` without those that are the same as an earlier one."""
    kept: list[T] = []
    for value in values:
        if not any(same(earlier, value) for earlier in kept):
            kept.append(value)
    return kept


def _has_partners(choices: Sequence[Sequence[int]]) -> bool:
    """Whether all rows can have different choices (Kuhn's augmenting paths)."""
    owner: dict[int, int] = {}

    def seat(row: int, seen: set[int]) -> bool:
        for choice in choices[row]:
            if choice not in seen:
                seen.add(choice)
                if choice not in owner or seat(owner[choice], seen):
                    owner[choice] = row
                    return True
        return False

    return all(seat(row, set()) for row in range(len(choices)))
