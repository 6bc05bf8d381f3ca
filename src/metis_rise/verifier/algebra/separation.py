"""How small a number that is made of rational numbers and roots can be without being 0."""

from __future__ import annotations

import math

from metis_rise.verifier.algebra.tree import Node

# log2 of the two bounds of a number: see `separation`.
_Bounds = tuple[float, float]

# More bits than are ever calculated with, and exponents that lead there.
_MOST = 1e6


def separation(left: Node, right: Node) -> int | None:
    """Bits b such that `left` - `right`, or any sum that it is made of, is either 0 or at least 2^-b in size.

    For trees without variables that are made of rational numbers, sums, products, quotients and roots: the bound of
    Burnikel, Funke, Mehlhorn, Schirra and Schmitt ("A separation bound for real algebraic expressions", 2001).
    Such a number is a quotient of algebraic integers; with u and l bounds of all conjugates of its two terms and D
    the product of the degrees of all different roots in it, it is 0 or at least 1 / (u^(D - 1) l) in size. None for
    other trees.
    """
    roots: dict[Node, int] = {}
    first, second = _bounds(left, roots), _bounds(right, roots)
    if first is None or second is None:
        return None
    upper, lower = _sum(first, second)
    bits = (math.prod(roots.values()) - 1) * upper + lower
    return math.ceil(bits) + 1 if bits < _MOST else None


def _bounds(node: Node, roots: dict[Node, int]) -> _Bounds | None:
    """log2 of (u, l) of a tree; its roots are put into `roots` with their degrees."""
    match node.kind:
        case "number":
            return _log2(abs(node.value.numerator)), _log2(node.value.denominator)
        case "sum" | "product":
            result = _bounds(node.args[0], roots)
            for arg in node.args[1:]:
                other = _bounds(arg, roots)
                if result is None or other is None:
                    return None
                result = _sum(result, other) if node.kind == "sum" else (result[0] + other[0], result[1] + other[1])
            return result
        case "power":
            return _power_bounds(node, roots)
    return None


def _power_bounds(node: Node, roots: dict[Node, int]) -> _Bounds | None:
    base, exponent = node.args
    bounds = _bounds(base, roots)
    if bounds is None or exponent.kind != "number":
        return None
    upper, lower = bounds
    degree, times = exponent.value.denominator, abs(exponent.value.numerator)
    if degree > _MOST or times > _MOST:
        return None
    if degree > 1:
        key = node._replace(args=(base, exponent._replace(value=degree)))
        roots[key] = degree
        if upper >= lower:
            upper = (upper + (degree - 1) * lower) / degree
        else:
            lower = ((degree - 1) * upper + lower) / degree
    return (lower * times, upper * times) if exponent.value < 0 else (upper * times, lower * times)


def _sum(a: _Bounds, b: _Bounds) -> _Bounds:
    first, second = a[0] + b[1], a[1] + b[0]
    high, low = max(first, second), min(first, second)
    return high + math.log2(1 + 2 ** max(low - high, -60.0)), a[1] + b[1]


def _log2(value: int) -> float:
    """Of a whole number, 0 for 0."""
    return math.log2(value) if value else 0.0
