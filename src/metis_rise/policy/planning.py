"""Which groups share a packed row, so that no forward pass holds more tokens than a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metis_rise.errors import InputError
from metis_rise.policy.packing import Row, RowGroup, group_rows, make_group


@dataclass(frozen=True, slots=True)
class Whole:
    """One packed row: groups whose tokens together stay within the budget."""

    groups: tuple[RowGroup, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """A group above the budget: its prompt is read once, its completions follow in pieces."""

    group: RowGroup
    pieces: tuple[RowGroup, ...]


def plan(rows: Sequence[Row], budget: int | None, limit: int | None = None) -> list[Whole | Split]:
    """Passes over `rows` that hold at most `budget` packed tokens each (None: one pass for all).

    A group counts its prompt once and all its completions. Groups are placed largest first, each into the first row
    that has room. Beyond `limit`, below the budget, passes are cut up as far as they can be: to a completion each.
    InputError, naming the problem, when a prompt and one of its completions alone pass the budget.
    """
    groups = group_rows(rows)
    if budget is None:
        return [Whole(tuple(groups))] if groups else []
    most = budget if limit is None else min(budget, limit)
    splits: list[Whole | Split] = []
    bins: list[list[RowGroup]] = []
    room: list[int] = []
    for group in sorted(groups, key=lambda group: group.tokens, reverse=True):
        if group.tokens > most:
            splits.append(Split(group, _pieces(rows, group, budget, most)))
            continue
        place = next((i for i, left in enumerate(room) if group.tokens <= left), len(bins))
        if place == len(bins):
            bins.append([])
            room.append(most)
        bins[place].append(group)
        room[place] -= group.tokens
    return splits + [Whole(tuple(members)) for members in bins]


def _pieces(rows: Sequence[Row], group: RowGroup, budget: int, most: int) -> tuple[RowGroup, ...]:
    """The completions, as they are ordered, in pieces that fit beside the prompt; as even as that order allows.

    `most` is what they should fit into, `budget` what each completion must.
    """
    longest = len(rows[group.members[-1]][1])
    room = most - len(group.prompt)
    if longest > budget - len(group.prompt):
        raise InputError(
            f"problem {group.prompt.problem!r}: its prompt and its longest completion have "
            f"{len(group.prompt)} + {longest} = {len(group.prompt) + longest} tokens, the budget is {budget}; "
            "raise micro_tokens, or lower model.max_pixels or sampling.max_tokens"
        )
    pieces: list[list[int]] = [[]]
    held = 0
    for index in group.members:
        length = len(rows[index][1])
        if held and held + length > room:
            pieces.append([])
            held = 0
        pieces[-1].append(index)
        held += length
    return tuple(make_group(rows, piece) for piece in pieces)
