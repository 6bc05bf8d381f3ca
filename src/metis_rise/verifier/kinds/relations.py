"""Equations and inequalities, up to a constant factor of both sides."""

from __future__ import annotations

import re
from collections.abc import Callable

from metis_rise.verifier import algebra
from metis_rise.verifier.kinds.matching import Same, in_order
from metis_rise.verifier.kinds.singles import value_of
from metis_rise.verifier.kinds.values import Relation
from metis_rise.verifier.normal import tight

_NAME = re.compile(r"\\?[A-Za-z]+(?:_\w|_\{\w+\})?")
_TERM = re.compile(rf"[-+]? ?[0-9./]* ?(?:\*|\\cdot)? ?{_NAME.pattern}")
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def same_relation(gold: Relation, answer: Relation, singles: Callable[[str, str], Same]) -> Same:
    """Whether two relations say the same: all their sides moved to the left, one is a multiple of the other.

    The factor of an inequality has to be positive, once the greater side is on the right; strictness has to agree.
    Chains and what algebra cannot read are compared side by side, with `singles`, and never found different.
    """
    if len(gold.signs) == len(answer.signs) == 1:
        first, second = _upwards(gold), _upwards(answer)
        if first.signs != second.signs:
            return False
        # The equation that was to be solved says the same as its solution, but it does not answer the question.
        if _is_solved(first) != _is_solved(second) and not (_is_nearly_solved(first) and _is_nearly_solved(second)):
            return False
        found = _proportional(first, second)
        if found is not None:
            return found
        straight = _side_by_side(first, second, singles)
        return straight or (_side_by_side(first, _reversed(second), singles) if first.signs[0] in ("=", "!=") else None)
    return _side_by_side(gold, answer, singles) or _side_by_side(gold, _reversed(answer), singles)


def _is_solved(relation: Relation) -> bool:
    """Whether it says of a name only, and not of several, what number it is or is compared with."""
    return _has_term_and_number(relation, _NAME)


def _is_nearly_solved(relation: Relation) -> bool:
    """Like `_is_solved`; the name of an inequality may have a factor, as in `-x < 2`."""
    return _has_term_and_number(relation, _NAME if relation.signs[0] == "=" else _TERM)


def _has_term_and_number(relation: Relation, term: re.Pattern[str]) -> bool:
    first, second = relation.sides
    return any(
        term.fullmatch(one) and value_of(one) is None and value_of(other) is not None
        for one, other in ((first, second), (second, first))
    )


def _side_by_side(gold: Relation, answer: Relation, singles: Callable[[str, str], Same]) -> Same:
    if gold.signs != answer.signs:
        return False
    if list(map(tight, gold.sides)) == list(map(tight, answer.sides)):
        return True
    return in_order(gold.sides, answer.sides, singles) or None


def _upwards(relation: Relation) -> Relation:
    """A relation of two sides without `>` and `>=`."""
    return _reversed(relation) if relation.signs[0] in (">", ">=") else relation


def _reversed(relation: Relation) -> Relation:
    return Relation(relation.sides[::-1], tuple(_TURNED.get(sign, sign) for sign in relation.signs[::-1]))


def _proportional(gold: Relation, answer: Relation) -> Same:
    left, right = _difference(gold), _difference(answer)
    if left is None or right is None or gold.signs == ("~",):
        return None
    # Between numbers only, `3 = 5` and `2 = 5` are both false, but they do not say the same.
    if algebra.constant(left) is not None or algebra.constant(right) is not None:
        return None
    found = algebra.proportional(left, right, positive=gold.signs[0] in ("<", "<="))
    # x = x is true, as y = y is, but it does not say the same.
    return None if found and _is_identity(gold) else found


def _is_identity(relation: Relation) -> bool:
    first, second = (algebra.read(side) for side in relation.sides)
    return first is not None and second is not None and algebra.same(first, second) is True


def _difference(relation: Relation) -> algebra.Expression | None:
    return algebra.read(f"({relation.sides[0]})-({relation.sides[1]})")
