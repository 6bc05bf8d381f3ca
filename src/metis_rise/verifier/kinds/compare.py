"""Whether two answers of whatever shape are the same."""

from __future__ import annotations

from collections.abc import Callable

from metis_rise.verifier.kinds.intervals import read_real_set, same_real_set
from metis_rise.verifier.kinds.lists import same_listing
from metis_rise.verifier.kinds.matching import Same, in_any_order, in_order
from metis_rise.verifier.kinds.names import unnamed
from metis_rise.verifier.kinds.relations import same_relation
from metis_rise.verifier.kinds.values import Listing, Matrix, Relation, Single, Union, Value, read_value

Singles = Callable[[str, str], Same]
_POINTED = ("()", "[]")


def same_value(gold: Value, answer: Value, singles: Singles) -> Same:
    """Whether `answer` means `gold`, where `singles` knows of two single values; None where it is not known."""
    sets = read_real_set(gold), read_real_set(answer)
    if sets[0] is not None and sets[1] is not None and (sets[0].certain or sets[1].certain):
        # a > b is b < a, whichever of them was taken for the variable.
        if isinstance(gold, Relation) and isinstance(answer, Relation) and sets[0].variable != sets[1].variable:
            return same_relation(gold, answer, singles)
        return same_real_set(sets[0], sets[1], singles)
    (gold_name, wanted), (answer_name, given) = unnamed(gold), unnamed(answer)
    named_alike = bool(gold_name) and gold_name == answer_name
    # A chain of numbers has no name and is no equation: it stands for its value.
    values = (not gold_name and wanted is not gold) or (not answer_name and given is not answer)
    if isinstance(gold, Relation) and isinstance(answer, Relation) and not named_alike and not values:
        return same_relation(gold, answer, singles)
    if isinstance(wanted, Relation) or isinstance(given, Relation):
        return False
    return _same_shape(wanted, given, singles)


def _same_shape(gold: Value, answer: Value, singles: Singles) -> Same:
    def same(first: Value, second: Value) -> Same:
        return same_value(first, second, singles)

    if isinstance(gold, Single) and isinstance(answer, Single):
        return singles(gold.text, answer.text)
    if isinstance(gold, Listing) and isinstance(answer, Listing):
        return same_listing(gold, answer, same)
    if isinstance(gold, Union) and isinstance(answer, Union):
        return in_any_order(gold.parts, answer.parts, same)
    if isinstance(gold, Matrix) and isinstance(answer, Matrix):
        if len(gold.rows) != len(answer.rows) or gold.bars != answer.bars:
            return False
        return in_order(_cells(gold), _cells(answer), same)
    wanted, given = _vector(gold), _vector(answer)
    return in_order(wanted, given, same) if wanted is not None and given is not None else False


def _cells(matrix: Matrix) -> tuple[Value, ...]:
    return tuple(read_value(cell) for row in matrix.rows for cell in row)


def _vector(value: Value) -> tuple[Value, ...] | None:
    """The members of a tuple, or of a matrix of one column or row."""
    if isinstance(value, Listing):
        return value.items if value.brackets in _POINTED else None
    if not isinstance(value, Matrix) or value.bars or (len(value.rows) > 1 and len(value.rows[0]) > 1):
        return None
    return _cells(value)
