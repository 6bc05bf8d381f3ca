"""Reading and comparing expressions: sympy, which shares no code with them, as a second opinion."""

from __future__ import annotations

import re
from fractions import Fraction

import sympy
from algebra_trees import LETTERS, Tree, constants, general, rational
from hypothesis import assume, given, settings

from metis_rise.verifier.algebra import Constant, constant, read, same


@given(rational)
@settings(max_examples=100)
def test_rational_numbers_have_sympys_values(tree: Tree) -> None:
    """Variables are replaced by numbers, in the text here and by sympy there."""
    values = dict(zip(LETTERS, (3, -2, Fraction(1, 7), 5, Fraction(-4, 3), 11), strict=True))
    wanted = tree.symbolic.subs({letter: sympy.Rational(value) for letter, value in values.items()})
    text = re.sub("[a-z]", lambda match: f"({values[match[0]]})", tree.plain)
    expression = read(text)
    assert (expression is None) == (wanted.is_finite is not True)
    if expression is not None:
        assert constant(expression) == Constant(Fraction(int(wanted.p), int(wanted.q)), True)


@given(rational, rational)
@settings(max_examples=100)
def test_rational_functions_are_the_same_exactly_when_sympy_says_so(a: Tree, b: Tree) -> None:
    first, second = read(a.latex), read(b.latex)
    assume(first is not None and second is not None)
    assume(a.symbolic.is_finite is not False and b.symbolic.is_finite is not False)
    difference = sympy.cancel(sympy.together(a.symbolic - b.symbolic))
    assume(not difference.has(sympy.nan, sympy.zoo))
    assert same(first, second) is (difference == 0)
    assert same(second, first) is (difference == 0)


@given(rational)
@settings(max_examples=60)
def test_what_sympy_rewrites_stays_the_same(tree: Tree) -> None:
    expression = read(tree.latex)
    assume(expression is not None)
    for rewritten in (sympy.expand(tree.symbolic), sympy.factor(tree.symbolic)):
        assume(not rewritten.has(sympy.nan, sympy.zoo))
        other = read(sympy.latex(rewritten))
        if other is not None:  # a long one is not read
            assert same(expression, other) is True


@given(general)
@settings(max_examples=100)
def test_functions_are_not_refuted_against_sympys_rewriting(tree: Tree) -> None:
    expression = read(tree.latex)
    assume(expression is not None)
    rewritten = sympy.expand(tree.symbolic, trig=True)
    assume(not rewritten.has(sympy.nan, sympy.zoo, sympy.oo))
    other = read(sympy.latex(rewritten))
    if other is not None:
        assert same(expression, other) is not False
        assert same(expression, other) is same(other, expression)


@given(constants)
@settings(max_examples=100)
def test_constants_have_sympys_value(tree: Tree) -> None:
    expression = read(tree.latex)
    found = None if expression is None else constant(expression)
    assume(found is not None and abs(found.value) < 10**50)
    wanted = Fraction(str(sympy.N(tree.symbolic, 60, maxn=400)))
    assert abs(found.value - wanted) <= max(abs(wanted), Fraction(1, 10**40)) / 10**40
