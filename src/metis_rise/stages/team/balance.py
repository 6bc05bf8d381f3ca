"""Sharing work out between processes, so that none has much more of it than another."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def shares(weights: Sequence[float], size: int) -> list[list[int]]:
    """Indices of `weights` in `size` shares of nearly equal weight, ascending in each: the heaviest are dealt first."""
    parts: list[list[int]] = [[] for _ in range(size)]
    loads = [0.0] * size
    for index in sorted(range(len(weights)), key=lambda index: -weights[index]):
        least = loads.index(min(loads))
        parts[least].append(index)
        loads[least] += weights[index]
    return [sorted(part) for part in parts]


def grouped_shares(keys: Sequence[Hashable], weights: Sequence[float], size: int) -> list[list[int]]:
    """`shares` that never part items of one key; ascending indices."""
    members: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(key, []).append(index)
    groups = list(members.values())
    dealt = shares([sum(weights[index] for index in group) for group in groups], size)
    return [sorted(index for number in part for index in groups[number]) for part in dealt]
