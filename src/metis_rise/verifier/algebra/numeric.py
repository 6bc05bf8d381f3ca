"""Trees compared by their values to many digits, at fixed points."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from metis_rise.verifier.algebra import samples
from metis_rise.verifier.algebra.arithmetic import is_zero, sign
from metis_rise.verifier.algebra.calculator import Calculator
from metis_rise.verifier.algebra.exact import OutOfReachError
from metis_rise.verifier.algebra.separation import separation
from metis_rise.verifier.algebra.tree import Node
from metis_rise.verifier.algebra.values import NO_POINT, Point, settled, value

# At fewer points where both trees are defined nothing is shown.
_ENOUGH = 3
# The largest separation that is calculated with: most of what `settled` can reach.
_MOST_BITS = 800


class _Found(NamedTuple):
    """Of two trees at one point: whether they agree, and whether each stays real all through its evaluation."""

    equal: bool
    left_real: bool
    right_real: bool


def same_constants(left: Node, right: Node) -> bool:
    """Whether two trees without variables have the same value.

    For real numbers that are made with roots "the same" is proved by as many digits as `separation` asks for; where
    it asks for more than 240, it means to 240 digits. For all others it means to 40 digits beyond the smallest number
    in them.

    Raises:
        OutOfReachError: when one has no value, or too large a one.
    """
    bits = separation(left, right)
    return settled(partial(_compared, left, right, NO_POINT), min(bits or 0, _MOST_BITS)).equal


def same_functions(left: Node, right: Node, variables: frozenset[str]) -> bool | None:
    """Whether two trees have the same values at the points of `samples`.

    False where both are real at a point and differ. None where they agree at all such points, but at another one
    only one of them is real, or neither is and their principal values differ; None also for too few points.
    """
    agreed = agreed_real = 0
    apart = False
    for index in range(samples.COUNT):
        if index == samples.REAL_COUNT and agreed_real >= _ENOUGH and not apart:
            return True
        try:
            found = settled(partial(_compared, left, right, samples.point(variables, index)))
        except OutOfReachError:
            continue
        both_real = found.left_real and found.right_real
        if both_real and not found.equal:
            return False
        if found.equal and found.left_real == found.right_real:
            agreed += 1
            agreed_real += both_real
        else:
            apart = True
    if apart:
        return None if agreed_real else False
    return True if agreed >= _ENOUGH else None


def proportional_functions(left: Node, right: Node, variables: frozenset[str]) -> bool | None:
    """Whether `left` is a constant times `right` at the points of `samples` where both are real; None for too few."""
    agreed = 0
    reference: Point | None = None
    for index in range(samples.COUNT):
        point = samples.point(variables, index)
        try:
            kept = settled(partial(_ratio_kept, left, right, reference or point, point))
        except OutOfReachError:
            continue
        if kept is False:
            return False
        if kept:
            agreed += 1
            reference = reference or point
    return True if agreed > _ENOUGH else None


def same_sign(left: Node, right: Node, variables: frozenset[str]) -> bool | None:
    """Whether two trees have the same sign at the first point of `samples` where both have one; None without one."""
    for index in range(samples.COUNT):
        try:
            signs = settled(partial(_signs, left, right, samples.point(variables, index)))
        except OutOfReachError:
            continue
        if signs[0] and signs[1]:
            return signs[0] == signs[1]
    return None


def _compared(left: Node, right: Node, point: Point, calculator: Calculator) -> _Found:
    calculator.natural = True
    first = value(calculator, left, point)
    left_real, calculator.natural = calculator.natural, True
    second = value(calculator, right, point)
    return _Found(calculator.equal(first, second), left_real, calculator.natural)


def _ratio_kept(left: Node, right: Node, reference: Point, point: Point, calculator: Calculator) -> bool | None:
    """Whether the ratio of two trees is the same at two points; None where it is not known at the second one."""
    first, second = value(calculator, left, point), value(calculator, right, point)
    if not calculator.natural or (is_zero(first) and is_zero(second)):
        return None
    if is_zero(first) or is_zero(second):
        return False
    crossed = calculator.multiply(first, value(calculator, right, reference))
    other = calculator.multiply(second, value(calculator, left, reference))
    return calculator.equal(crossed, other)


def _signs(left: Node, right: Node, point: Point, calculator: Calculator) -> tuple[int, int]:
    return sign(value(calculator, left, point)), sign(value(calculator, right, point))
