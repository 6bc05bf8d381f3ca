"""Generated expressions for the tests of the verifier's algebra."""

from __future__ import annotations

import sympy
from hypothesis import strategies as st

LETTERS = ("x", "y", "a", "b", "n", "t")


class Tree:
    """A generated expression: two ways to write it, and what it is for sympy."""

    def __init__(self, latex: str, plain: str, symbolic: sympy.Expr, *, atom: bool = False) -> None:
        self.latex, self.plain, self.symbolic, self.atom = latex, plain, symbolic, atom

    def __repr__(self) -> str:
        return f"{self.latex}   {self.plain}"

    @property
    def braced(self) -> str:
        return self.latex if self.atom else rf"\left({self.latex}\right)"

    @property
    def bracketed(self) -> str:
        return self.plain if self.atom else f"({self.plain})"


numbers = st.one_of(
    st.integers(0, 12).map(lambda n: Tree(str(n), str(n), sympy.Integer(n), atom=True)),
    st.integers(1000, 10**9).map(lambda n: Tree(f"{n:,}", str(n), sympy.Integer(n), atom=True)),
    st.tuples(st.integers(0, 99), st.integers(0, 999)).map(
        lambda p: Tree(f"{p[0]}.{p[1]:03}", f"{p[0]}.{p[1]:03}", sympy.Rational(p[0] * 1000 + p[1], 1000), atom=True)
    ),
)
variables = st.sampled_from(LETTERS).map(lambda v: Tree(v, v, sympy.Symbol(v), atom=True))


def plus(a: Tree, b: Tree) -> Tree:
    return Tree(f"{a.latex} + {b.latex}", f"{a.plain}+{b.plain}", a.symbolic + b.symbolic)


def minus(a: Tree, b: Tree) -> Tree:
    return Tree(f"{a.latex}-{b.braced}", f"{a.plain} - {b.bracketed}", a.symbolic - b.symbolic)


def times(a: Tree, b: Tree) -> Tree:
    return Tree(rf"{a.braced} \cdot {b.braced}", f"{a.bracketed}*{b.bracketed}", a.symbolic * b.symbolic)


def beside(a: Tree, b: Tree) -> Tree:
    """A product without a sign, which must not begin its second factor with a digit."""
    return Tree(rf"{a.braced}\left({b.latex}\right)", f"{a.bracketed}({b.plain})", a.symbolic * b.symbolic)


def over(a: Tree, b: Tree) -> Tree:
    return Tree(rf"\frac{{{a.latex}}}{{{b.latex}}}", f"{a.bracketed}/({b.plain})", a.symbolic / b.symbolic)


def power(a: Tree, exponent: int) -> Tree:
    return Tree(f"{a.braced}^{{{exponent}}}", f"{a.bracketed}**{exponent}", a.symbolic**exponent)


def root(a: Tree) -> Tree:
    return Tree(rf"\sqrt{{{a.latex}}}", f"sqrt({a.plain})", sympy.sqrt(a.symbolic), atom=True)


def applied(name: str, a: Tree) -> Tree:
    return Tree(rf"\{name}\left({a.latex}\right)", f"{name}({a.plain})", getattr(sympy, name)(a.symbolic))


def larger(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    pair = st.tuples(inner, inner)
    two = st.sampled_from([plus, minus, times, beside, over])
    return st.one_of(
        st.tuples(two, pair).map(lambda made: made[0](*made[1])),
        st.tuples(inner, st.integers(2, 4)).map(lambda made: power(*made)),
    )


def with_functions(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    names = st.sampled_from(["sin", "cos", "tan", "exp", "ln"])
    return st.one_of(larger(inner), inner.map(root), st.tuples(names, inner).map(lambda made: applied(*made)))


rational = st.recursive(st.one_of(numbers, variables), larger, max_leaves=8)
general = st.recursive(st.one_of(numbers, variables), with_functions, max_leaves=6)
constants = st.recursive(numbers, with_functions, max_leaves=5)
