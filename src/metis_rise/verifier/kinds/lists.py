"""Lists, sets and tuples."""

from __future__ import annotations

from collections.abc import Callable

from metis_rise.verifier.kinds.matching import Same, distinct, in_any_order, in_order
from metis_rise.verifier.kinds.names import Members, members
from metis_rise.verifier.kinds.values import Listing, Value

_UNORDERED = {"", "{}"}
_ORDERED = {"", "()"}


def same_listing(gold: Listing, answer: Listing, same: Callable[[Value, Value], Same]) -> Same:
    """Sets and bare lists in any order, all others in order and with the same brackets; named values by their names."""
    wanted, given = members(gold), members(answer)
    brackets = {gold.brackets, answer.brackets}
    if wanted.mixed or given.mixed:
        return in_any_order(gold.items, answer.items, same) if brackets <= _UNORDERED else False
    if wanted.names and given.names and not (wanted.base and given.base and len({*wanted.names, *given.names}) == 1):
        return _by_name(wanted, given, same)
    if wanted.base and given.base and wanted.base != given.base:
        return False
    if (wanted.names and not wanted.base) or (given.names and not given.base):
        # The names on the one side say in which order the other side has to be.
        fits = not wanted.base and not given.base and brackets <= _ORDERED
        return in_order(wanted.values, given.values, same) if fits else False
    if brackets <= _UNORDERED:
        return _in_any_order(gold, wanted, given, same)
    if (wanted.base or given.base) and gold.brackets != answer.brackets:
        return False  # x = 2, 3 is two values of x, (2, 3) is a point
    agree = _brackets_agree(gold.brackets, answer.brackets, len(wanted.values))
    return in_order(wanted.values, given.values, same) if agree else False


def _by_name(gold: Members, answer: Members, same: Callable[[Value, Value], Same]) -> Same:
    by_name = dict(zip(answer.names, answer.values, strict=True))
    if sorted(gold.names) != sorted(answer.names) or len(by_name) < len(gold.names):
        return False
    return in_order(gold.values, [by_name[name] for name in gold.names], same)


def _in_any_order(listing: Listing, gold: Members, answer: Members, same: Callable[[Value, Value], Same]) -> Same:
    """Said twice is said once, but a bare gold list that repeats a member means it."""
    golds, answers = list(gold.values), list(answer.values)
    if listing.brackets:
        golds = distinct(golds, same)
    if listing.brackets or len(answers) > len(golds):
        answers = distinct(answers, same)
    return in_any_order(golds, answers, same)


def _brackets_agree(first: str, second: str, length: int) -> bool:
    """The same, or round ones against none; square ones around a pair may be an interval, around others a list."""
    if first == second or {first, second} == _ORDERED:
        return True
    return length != 2 and {first, second} <= {"", "()", "[]"}
