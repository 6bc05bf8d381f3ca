"""Expressions as small trees; what is rational is worked out exactly while a tree is built."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from metis_rise.verifier.algebra import exact
from metis_rise.verifier.algebra.exact import Exact, OutOfReachError, bounded

Kind = Literal["number", "variable", "constant", "sum", "product", "power", "call", "infinity"]

HALF = Fraction(1, 2)
# A polynomial of a higher degree is not told from another by its value at a fixed point of a field of 2^127.
_MAX_DEGREE = 1 << 40


class Node(NamedTuple):
    """One node of a tree.

    `value` is a number's value, or the sign of an infinity. `name` is the name of a variable, of a constant
    (pi, e, i) or of a function. Subtraction is a sum with a product by -1, division a product with a power -1,
    a root a power of a fraction.
    """

    kind: Kind
    args: tuple[Node, ...] = ()
    value: Exact = 0
    name: str = ""


class Survey(NamedTuple):
    """What a tree is made of.

    `degree` bounds the degree of numerator and denominator where the tree is a rational function of its
    variables and of pi, e and i; it is None for any other tree.
    """

    variables: frozenset[str]
    degree: int | None


CONSTANTS = {name: Node("constant", name=name) for name in ("pi", "e", "i")}
EULER = CONSTANTS["e"]
MINUS_ONE = Node("number", value=-1)
# What a degree is in radians.
DEGREE = Node("product", (Node("number", value=Fraction(1, 180)), CONSTANTS["pi"]))


def number(value: Exact) -> Node:
    """A rational number."""
    return Node("number", (), value)


@functools.lru_cache(maxsize=1024)
def variable(name: str) -> Node:
    """A variable."""
    return Node("variable", (), 0, name)


def add(terms: Iterable[Node]) -> Node:
    """The sum of `terms`."""
    total: Exact = 0
    others = []
    for term in _flat(terms, "sum"):
        if term.kind == "number":
            total = bounded(total + term.value)
        else:
            others.append(term)
    if not others:
        return number(total)
    if total != 0:
        others.append(number(total))
    return others[0] if len(others) == 1 else Node("sum", tuple(others))


def multiply(factors: Iterable[Node]) -> Node:
    """The product of `factors`."""
    total: Exact = 1
    others = []
    for factor in _flat(factors, "product"):
        if factor.kind == "number":
            total = bounded(total * factor.value)
        else:
            others.append(factor)
    if total == 0 or not others:
        return number(total)
    if total != 1:
        others.insert(0, number(total))
    return others[0] if len(others) == 1 else Node("product", tuple(others))


def _flat(nodes: Iterable[Node], kind: Kind) -> Iterator[Node]:
    """`nodes`, with the arguments of those of the `kind` in their place."""
    for node in nodes:
        if node.kind == kind:
            yield from node.args
        else:
            yield node


def negate(node: Node) -> Node:
    """-`node`."""
    return multiply((MINUS_ONE, node))


def divide(above: Node, below: Node) -> Node:
    """`above` / `below`."""
    return multiply((above, raise_to(below, MINUS_ONE)))


def raise_to(base: Node, exponent: Node) -> Node:
    """`base` to the `exponent`; the square root of a negative square is a multiple of i."""
    if exponent.kind == "number":
        if exponent.value == 1:
            return base
        if exponent.value == 0 and base.kind != "number":
            return number(1)
        if base.kind == "number":
            value = exact.power(base.value, exponent.value)
            if value is not None:
                return number(value)
            if base.value < 0 and exponent.value.denominator == 2:
                root = exact.power(-base.value, HALF)
                if root is not None:
                    return raise_to(multiply((number(root), CONSTANTS["i"])), number(exponent.value.numerator))
    return Node("power", (base, exponent))


def square_root(node: Node) -> Node:
    """The square root of `node`."""
    return raise_to(node, number(HALF))


def call(name: str, *args: Node) -> Node:
    """A function of `args`: see `reader` for the names it makes."""
    values = [node.value for node in args if node.kind == "number"]
    if len(values) == len(args):
        value = _called(name, values)
        if value is not None:
            return number(value)
    return Node("call", args, 0, name)


def logarithm(node: Node, base: Node) -> Node:
    """The logarithm of `node` to the `base`."""
    if node.kind == base.kind == "number":
        value = exact.logarithm(node.value, base.value)
        if value is not None:
            return number(value)
    return divide(call("ln", node), call("ln", base))


def survey(node: Node) -> Survey:
    """The variables of a tree, and a bound of its degree as a rational function if it is one."""
    names: set[str] = set()
    degree = _degree(node, names)
    return Survey(frozenset(names), degree)


def _degree(node: Node, names: set[str]) -> int | None:
    match node.kind:
        case "number":
            return 0
        case "variable":
            names.add(node.name)
            return 1
        case "constant":
            return 1
    degrees = [_degree(arg, names) for arg in node.args]
    whole = 0
    for degree in degrees:
        if degree is None:
            return None
        whole += degree
    if node.kind == "power":
        exponent = node.args[1]
        if exponent.kind != "number" or exponent.value.denominator != 1:
            return None
        size = abs(exponent.value.numerator)
        if size >= _MAX_DEGREE:
            return None
        whole *= size
    elif node.kind not in ("sum", "product"):
        return None
    return whole if whole < _MAX_DEGREE else None


def _called(name: str, values: Sequence[Exact]) -> Exact | None:
    match name:
        case "abs":
            return max(values[0], -values[0])
        case "factorial":
            return exact.factorial(values[0])
        case "binomial":
            return exact.binomial(values[0], values[1])
        case "ln":
            if values[0] == 0:
                raise OutOfReachError
            return 0 if values[0] == 1 else None
        case "cos" | "cosh":
            return 1 if values[0] == 0 else None
        case "arccos":
            return 0 if values[0] == 1 else None
    return 0 if values[0] == 0 else None
