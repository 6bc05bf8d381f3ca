"""Functions by the names that the reader knows, in terms of the few that trees are made of."""

from __future__ import annotations

from metis_rise.verifier.algebra import tree
from metis_rise.verifier.algebra.tree import EULER, MINUS_ONE, Node, number

TRIGONOMETRIC = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))
INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_RECIPROCALS = {"sec": "cos", "csc": "sin"}


def applied(name: str, argument: Node, base: Node | None) -> Node:
    """The function of that name of `argument`; `base` is that of a logarithm.

    Without a base `log` is the natural logarithm.
    """
    match name:
        case "log" | "lg":
            if name == "lg":
                base = number(10)
            return tree.call("ln", argument) if base is None else tree.logarithm(argument, base)
        case "exp":
            return tree.raise_to(EULER, argument)
        case "cot":
            return tree.divide(tree.call("cos", argument), tree.call("sin", argument))
        case "sec" | "csc":
            return tree.raise_to(tree.call(_RECIPROCALS[name], argument), MINUS_ONE)
    return tree.call(name, argument)
