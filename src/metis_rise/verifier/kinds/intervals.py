r"""Sets of real numbers: intervals, unions and inequalities in one variable (`[2, \infty)` is `x \ge 2`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from metis_rise.verifier.kinds.matching import Same, every, in_any_order
from metis_rise.verifier.kinds.values import Listing, Relation, Single, Union, Value, read_value
from metis_rise.verifier.normal import folded
from metis_rise.verifier.numbers import read_number

_VARIABLE = re.compile(r"\\?[A-Za-z]+(?:_\w|_\{\w+\})?|[A-Za-z]\([A-Za-z]\)")
_SIZE = re.compile(r"\|[A-Za-z]\|")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "!=": "!="}
_INFINITE = {r"\infty": r"\infty", r"+\infty": r"\infty", r"-\infty": r"-\infty"}
_REALS = frozenset({r"\mathbb{r}", r"\mathbbr", "all real numbers", "all reals", "all real numbers x"})


@dataclass(frozen=True, slots=True)
class _Interval:
    low: str
    low_closed: bool
    high: str
    high_closed: bool


@dataclass(frozen=True, slots=True)
class RealSet:
    """A union of intervals; `certain` is False where it may also be a point of the plane or a list of two."""

    intervals: tuple[_Interval, ...]
    variable: str | None = None
    certain: bool = True


def read_real_set(value: Value) -> RealSet | None:
    """The set of reals that `value` is or may be, or None."""
    if isinstance(value, Union):
        whole = _together([read_real_set(part) for part in value.parts])
        return None if whole is None else replace(whole, certain=True)
    if isinstance(value, Relation):
        return _inequality(value)
    if isinstance(value, Listing):
        return _interval(value) if value.brackets else _conditions(value)
    if isinstance(value, Single) and (value.text == "R" or folded(value.text) in _REALS):
        return RealSet((_Interval(r"-\infty", False, r"\infty", False),))
    return None


def same_real_set(gold: RealSet, answer: RealSet, same: Callable[[str, str], Same]) -> Same:
    """Whether both have the same intervals with the same ends; a variable may be named on one side only."""
    if gold.variable and answer.variable and gold.variable != answer.variable:
        return False
    return in_any_order(gold.intervals, answer.intervals, lambda g, a: _same_interval(g, a, same))


def _same_interval(gold: _Interval, answer: _Interval, same: Callable[[str, str], Same]) -> Same:
    if (gold.low_closed, gold.high_closed) != (answer.low_closed, answer.high_closed):
        return False
    return every(_same_end(g, a, same) for g, a in ((gold.low, answer.low), (gold.high, answer.high)))


def _same_end(gold: str, answer: str, same: Callable[[str, str], Same]) -> Same:
    if gold in _INFINITE or answer in _INFINITE:
        return gold == answer
    return same(gold, answer)


def _interval(value: Listing) -> RealSet | None:
    if len(value.items) != 2 or value.brackets[0] not in "([" or value.words:
        return None
    low, high = value.items
    if not isinstance(low, Single) or not isinstance(high, Single):
        return None
    ends = _end(low.text), _end(high.text)
    certain = value.brackets in ("[)", "(]") or any(end in _INFINITE for end in ends)
    interval = _Interval(ends[0], value.brackets[0] == "[", ends[1], value.brackets[1] == "]")
    return RealSet((interval,), certain=certain)


def _end(text: str) -> str:
    return _INFINITE.get(text.replace(" ", ""), text)


def _inequality(value: Relation) -> RealSet | None:
    sides, signs = value.sides, value.signs
    if signs == ("in",):
        found = read_real_set(read_value(sides[1]))
        return None if found is None else replace(found, variable=sides[0], certain=True)
    if not all(sign in _FLIPPED for sign in signs) or len(signs) > 2:
        return None
    if len(signs) == 1:
        if _SIZE.fullmatch(sides[0]):
            return _around_zero(sides[0].strip("|"), signs[0], sides[1])
        if _VARIABLE.fullmatch(sides[0]) and not _mentions(sides[1], sides[0]):
            return _half_line(sides[0], signs[0], _end(sides[1]))
        if _VARIABLE.fullmatch(sides[1]) and not _mentions(sides[0], sides[1]):
            return _half_line(sides[1], _FLIPPED[signs[0]], _end(sides[0]))
        return None
    if signs[0][0] == ">":
        sides, signs = sides[::-1], tuple(_FLIPPED[sign] for sign in signs[::-1])
    if signs[0][0] != "<" or signs[1][0] != "<" or not _VARIABLE.fullmatch(sides[1]):
        return None
    if _mentions(sides[0], sides[1]) or _mentions(sides[2], sides[1]):
        return None
    interval = _Interval(_end(sides[0]), signs[0] == "<=", _end(sides[2]), signs[1] == "<=")
    return RealSet((interval,), sides[1])


def _around_zero(variable: str, sign: str, end: str) -> RealSet | None:
    """`|x| < 3` and the like, with a positive number."""
    number = read_number(end)
    if number is None or number.value <= 0 or sign == "!=":
        return None
    if sign[0] == "<":
        return RealSet((_Interval(f"-{end}", sign == "<=", end, sign == "<="),), variable)
    below, above = _half_line(variable, sign.replace(">", "<"), f"-{end}"), _half_line(variable, sign, end)
    return RealSet(below.intervals + above.intervals, variable)


def _mentions(text: str, variable: str) -> bool:
    return re.search(rf"(?<![A-Za-z\\]){re.escape(variable)}(?![A-Za-z])", text) is not None


def _half_line(variable: str, sign: str, end: str) -> RealSet:
    below = _Interval(r"-\infty", False, end, sign == "<=")
    above = _Interval(end, sign == ">=", r"\infty", False)
    parts = {"<": (below,), "<=": (below,), ">": (above,), ">=": (above,), "!=": (below, above)}
    return RealSet(parts[sign], variable)


def _conditions(value: Listing) -> RealSet | None:
    """`x > 2, x < 5` is an interval, `x < 2 or x > 5` is two; a comma and an `and` are either, as the numbers are."""
    sets = [read_real_set(item) for item in value.items]
    both = _together(sets)
    if both is None or not both.certain or "or" in value.words:
        return both
    if len(both.intervals) != 2 or any(found is not None and len(found.intervals) != 1 for found in sets):
        return None if both.variable else both
    low, high = sorted(both.intervals, key=lambda part: part.low == r"-\infty")
    if both.variable is None or low.low in _INFINITE or low.high != r"\infty" or high.low != r"-\infty":
        return both if both.variable is None else None
    if _over(low.low, high.high):
        return both
    return RealSet((_Interval(low.low, low.low_closed, high.high, high.high_closed),), both.variable)


def _over(low: str, high: str) -> bool:
    first, second = read_number(low), read_number(high)
    return first is not None and second is not None and first.value >= second.value


def _together(sets: list[RealSet | None]) -> RealSet | None:
    found = [part for part in sets if part is not None]
    variables = {part.variable for part in found if part.variable}
    if len(found) < len(sets) or len(variables) > 1:
        return None
    intervals = tuple(interval for part in found for interval in part.intervals)
    return RealSet(intervals, next(iter(variables), None), all(part.certain for part in found))
