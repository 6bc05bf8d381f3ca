"""Values of trees to many digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeVar

from metis_rise.verifier.algebra.arithmetic import AGREEMENT, MAX_SPREAD, Value, kept_value
from metis_rise.verifier.algebra.calculator import Calculator
from metis_rise.verifier.algebra.exact import OutOfReachError
from metis_rise.verifier.algebra.tree import EULER, Node

T = TypeVar("T")
Point = Mapping[str, Fraction]

NO_POINT: Point = {}
_FIRST_SPREAD = 64
_MAX_ROUNDS = 3
_MAX_DENOMINATOR = 1000


def settled(task: Callable[[Calculator], T], separation: int = 0) -> T:
    """What `task` returns with a calculator that is precise enough for all numbers it meets.

    `separation`: what is not 0 is at least 2^-`separation` in size; then what is taken for 0 surely is.

    Raises:
        OutOfReachError: when none is precise enough, or `task` raises it.
    """
    more = max(0, separation - AGREEMENT)
    spread = _FIRST_SPREAD + more
    for _ in range(_MAX_ROUNDS):
        calculator = Calculator(spread)
        result = task(calculator)
        if calculator.met + more <= spread:
            return result
        spread = calculator.met + more + _FIRST_SPREAD
        if spread > MAX_SPREAD:
            break
    raise OutOfReachError


def value(calculator: Calculator, node: Node, point: Point) -> Value:
    """The value of a tree, with the values of its variables from `point`.

    Raises:
        OutOfReachError: where it is not defined or too large.
    """
    match node.kind:
        case "number":
            return calculator.number(node.value)
        case "variable":
            return calculator.number(point[node.name])
        case "constant":
            return calculator.constant(node.name)
        case "sum":
            return calculator.add([value(calculator, arg, point) for arg in node.args])
        case "product":
            result = value(calculator, node.args[0], point)
            for arg in node.args[1:]:
                result = calculator.multiply(result, value(calculator, arg, point))
            return result
        case "power":
            return _power(calculator, node.args[0], node.args[1], point)
        case "call":
            return calculator.call(node.name, [value(calculator, arg, point) for arg in node.args])
    raise OutOfReachError


def _power(calculator: Calculator, base: Node, exponent: Node, point: Point) -> Value:
    if base == EULER:
        return calculator.exp(value(calculator, exponent, point))
    below = value(calculator, base, point)
    if exponent.kind == "number":
        return calculator.root(below, Fraction(exponent.value))
    return calculator.power(below, value(calculator, exponent, point))


def real_value(node: Node) -> Fraction | None:
    """The value of a tree without variables, right to 40 digits; None where it is not real.

    What agrees to 40 digits with a fraction of a denominator up to 1000 is that fraction.

    Raises:
        OutOfReachError: when it has none, or too large a one.
    """

    def task(calculator: Calculator) -> Fraction | None:
        found = value(calculator, node, NO_POINT)
        kept = kept_value(found)
        if kept is None:
            return None
        simple = kept.limit_denominator(_MAX_DENOMINATOR)
        return simple if calculator.equal(found, calculator.number(simple)) else kept

    return settled(task)
