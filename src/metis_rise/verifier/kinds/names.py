r"""What an answer calls its values: `x = 3`, `AB = 4, CD = 5`, `f(x) = 2x`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from metis_rise.verifier import algebra
from metis_rise.verifier.kinds.singles import same_single, value_of
from metis_rise.verifier.kinds.values import Listing, Relation, Value, read_value
from metis_rise.verifier.normal import tight

_SYMBOL = r"(?:\\[A-Za-z]+|[A-Za-z]|[A-Z]{2,4})'*(?:_(?:\w|\\[A-Za-z]+|\{[^{}]{1,20}\}))?'*"
_HEAD = r"(?:m? ?\\(?:angle|triangle|measuredangle) ?|\\(?:sin|cos|tan|cot|sec|csc|log|ln|det|min|max|lim) ?)"
_CALL = r"[A-Za-z]{1,3}'*(?:\^\{?-1\}?)?(?:_\w)?\([^()=]{1,20}\)"
_WORDS = r"[A-Za-z][a-z]{3,}|[A-Za-z][a-z]{2,}(?: [A-Za-z][a-z]*){1,5}"
_OVER = r"\\(?:overline|hat|vec|bar|widehat|overrightarrow)\{?[A-Za-z]{1,3}\}?"
_NAME = re.compile(
    rf"{_HEAD}?{_SYMBOL}|{_HEAD}\({_SYMBOL}\)|{_CALL}|{_WORDS}|{_OVER}|\|(?:{_SYMBOL}|{_OVER})\|", re.DOTALL
)
_DENIAL = re.compile(r"\b(?:no|not|never|cannot|except|without|wrong|incorrect)\b", re.IGNORECASE)
_SUBSCRIPT = re.compile(r"_(?:\w|\{\w+\})$|'+$")


def unnamed(value: Value) -> tuple[str, Value]:
    r"""The name that `value` gives to something ("" if none) and the value of it.

    Of a chain `x = 2 + 3 = 5`, or one of numbers only such as `\frac{4}{6} = \frac{2}{3} \approx 0.67`, the last exact
    member, also over other names and formulas (`S = \frac{1}{2}ah = 6`); an equation that is no chain of a name or of
    numbers, and a chain that is false, stays what it is.
    """
    if not isinstance(value, Relation) or not set(value.signs) <= {"=", "~", "in"}:
        return "", value
    # x \in (1, 2) is an interval, never the point that (1, 2) may be.
    if value.signs == ("in",) and not value.sides[1].endswith("}"):
        return "", value
    exact = value.sides[: value.signs.index("~") + 1] if "~" in value.signs else value.sides
    name = _as_name(exact[0])
    if name and len(exact) == 1:
        # x \approx 3 says 3 and no more.
        return (name, read_value(value.sides[1])) if len(value.sides) == 2 else ("", value)
    if not name and len(exact) == 2 and _as_name(exact[1]) and not _as_name(exact[0]):
        return _as_name(exact[1]), read_value(exact[0])
    said = _without_formulas(name, exact[1:]) if name else exact
    if not _all_same(said) or not all(_is_about(said[-1], about) for about in value.sides[len(exact) :]):
        return "", value
    return name, read_value(said[-1])


@dataclass(frozen=True, slots=True)
class Members:
    """A list's values with their names.

    `names` has one for every value or, where they have none, is empty. `base` is what all names have in common but for
    their subscripts (`x` of `x_1 = 1, x_2 = 2`), or the only name of `x = 1, 2`. `mixed`: some have names, some not.
    """

    values: tuple[Value, ...]
    names: tuple[str, ...] = ()
    base: str = ""
    mixed: bool = False


def members(listing: Listing) -> Members:
    """The values of a list, apart from their names."""
    found = [unnamed(item) for item in listing.items]
    names, values = tuple(name for name, _ in found), tuple(value for _, value in found)
    if not any(names[1:]):
        return Members(values, base=names[0])
    if not all(names):
        return Members(listing.items, mixed=True)
    bases = {_SUBSCRIPT.sub("", name) for name in names}
    return Members(values, names, bases.pop() if len(bases) == 1 else "")


def _as_name(text: str) -> str:
    """`text` in one spelling if it names something, else ""."""
    if text == r"\pi" or not _NAME.fullmatch(text) or _DENIAL.search(text):
        return ""
    return tight(text)


def _without_formulas(name: str, said: tuple[str, ...]) -> tuple[str, ...]:
    """What a chain says of `name`; where it ends in a number, without what has other variables."""
    if value_of(said[-1]) is None:
        return said
    return *(text for text in said[:-1] if not _is_about_others(text, name)), said[-1]


def _is_about_others(text: str, name: str) -> bool:
    expression = algebra.read(text)
    variables = frozenset() if expression is None else expression.variables
    return name not in variables and (bool(variables) or _as_name(text) not in ("", name))


def _all_same(texts: tuple[str, ...]) -> bool:
    return all(same_single(texts[-1], text) is True for text in texts[:-1])


def _is_about(exact: str, about: str) -> bool:
    """Whether a value rounded up or down fits to the exact one; where that has none, nothing speaks against it."""
    value, rounded = value_of(exact), value_of(about)
    if value is None or rounded is None:
        return value is None
    return abs(value.value - rounded.value) <= Fraction(10) ** -(rounded.decimals or 0)
