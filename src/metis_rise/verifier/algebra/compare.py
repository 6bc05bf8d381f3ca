"""Comparing expressions: exactly where that is possible, else to many digits."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from metis_rise.verifier.algebra import modular
from metis_rise.verifier.algebra.exact import OutOfReachError
from metis_rise.verifier.algebra.reader import read_tree
from metis_rise.verifier.algebra.tree import Node, survey

# Points of one field that are tried: at some of them a denominator may be 0.
_TRIALS = 4


@dataclass(frozen=True, slots=True)
class Expression:
    """A formula that `read` has understood.

    `variables`: their names, those of Greek ones spelled out, subscripts after an underscore (`x_1`). `infinite`: it
    is an infinity, which equals itself only.
    """

    root: Node

    @property
    def variables(self) -> frozenset[str]:
        """The names of its variables."""
        return survey(self.root).variables

    @property
    def infinite(self) -> bool:
        """Whether it is an infinity."""
        return self.root.kind == "infinity"


@dataclass(frozen=True, slots=True)
class Constant:
    """The real value of an expression without variables.

    `exact`: `value` is that number. Otherwise it is right to 40 digits; a `value` with a denominator up to 1000 is
    then a fraction that the number agrees with to 40 digits.
    """

    value: Fraction
    exact: bool


def read(text: str) -> Expression | None:
    r"""The expression that `text` writes, in LaTeX, in plain text or mixed; None for anything else. Never raises.

    For `normal` texts and raw ones up to 400 characters. Names: single letters and Greek letters, with a subscript
    or not; `e`, `i` and pi are the constants. Two or three letters in a row are a product inside a formula (`2ab`)
    unless they are a unit or look like a word; everything longer is a word, and words are no expressions. So are no
    expressions: relations, lists, plus-or-minus signs, units, functions such as f(x) and f', sums, integrals,
    limits, decimals with a decimal comma, numbers that follow a factor (`x2`), two signs in a row, n!!.

    Where a text has several readings:

    - `3/4x` is (3/4)x, as for any number after the slash of a constant; `b/2a` is b/(2a), and `b/2 a` is (b/2)a.
    - `1\frac{1}{2}` and `1 1/2` are mixed numbers, `2\frac{4}{3}` and `2\frac{x}{3}` are products.
    - `\sin 2x \cos y` is sin(2x) cos(y), `\sin x(x + 1)` is sin(x)(x + 1), `\sin(x)^2` is the square of the sine,
      `\sin x^2` the sine of the square, `\sin^{-1} x` the inverse sine, `\sin x/2` half the sine.
    - `\log` without a base is the natural logarithm, `\lg` has the base 10.
    - `1,000` is a thousand. `2e3` alone is 2000, as is `2.0e3` or `2E3` anywhere; in `x + 2e` the e is Euler's.
    - `30^\circ` is 30, but inside of a trigonometric function it is 30 degrees. `50\%` is 1/2.
    - `f(...)` and `g(...)` are unknown functions; `h(x)` and `P(2)` too, while `h(a + b)` is a product.
    - An odd root of a negative number is the real one: \sqrt[3]{-8} is -2, and so is (-8)^{1/3}.
    """
    try:
        return Expression(read_tree(text))
    except OutOfReachError:
        return None


def same(a: Expression, b: Expression) -> bool | None:
    r"""Whether two expressions mean the same; None when that is not decided. Symmetric and deterministic.

    Exact: rational numbers of any length; rational functions of variables, pi, e and i, by their values in two
    fields of some 2^127 elements at points drawn from the names (equal ones are always found equal; unequal ones of
    degree d pass with a probability of d / 2^127 a field); real constants made of rational numbers and roots, by their
    values to as many digits as a separation bound asks for, up to 240. A common factor may be cancelled:
    (x^2 - 1)/(x - 1) is x + 1.

    Numeric: everything else. Constants must agree, and functions at seven real points of either sign, to 40 digits
    beyond the smallest number (and the last digit of any number) that occurs in them; "different" is then sure, "the
    same" is as sure as that. Where they agree at all points at which both are real, but not everywhere, None: ln(x^2)
    against 2 ln x, sqrt(x) sqrt(y) against sqrt(xy); but sqrt(x^2) differs from x. Where fewer than three points tell,
    as under factorials, whole numbers are tried.
    """
    left, right = a.root, b.root
    if left == right:
        return True
    if left.kind == right.kind == "number" or "infinity" in (left.kind, right.kind):
        return False
    first, second = survey(left), survey(right)
    if first.degree is not None and second.degree is not None:
        return _same_rational(left, right)
    # Imported late: mpmath takes 50 ms, and most answers never need it.
    from metis_rise.verifier.algebra import numeric

    variables = first.variables | second.variables
    try:
        return numeric.same_functions(left, right, variables) if variables else numeric.same_constants(left, right)
    except OutOfReachError:
        return None


def constant(expression: Expression) -> Constant | None:
    """The value of an expression without variables; None with variables, for infinities and where it is not real.

    Values beyond some 300 digits before or after the point are None too, unless they are rational.
    """
    root = expression.root
    if root.kind == "number":
        return Constant(Fraction(root.value), True)
    if root.kind == "infinity" or survey(root).variables:
        return None
    from metis_rise.verifier.algebra import values

    try:
        value = values.real_value(root)
    except OutOfReachError:
        return None
    return None if value is None else Constant(value, False)


def proportional(a: Expression, b: Expression, *, positive: bool = False) -> bool | None:
    """Whether a = k b with a constant k that is not 0, and is greater than 0 if `positive`; None when undecided.

    For equations a = 0 and b = 0, and with `positive` for inequalities. Shown as in `same`: exactly for rational
    functions, else to 40 digits. Only the zero expression is proportional to itself when both are 0; all other
    constants are proportional to each other.
    """
    left, right = a.root, b.root
    if "infinity" in (left.kind, right.kind):
        return None
    if left == right:
        return True
    from metis_rise.verifier.algebra import numeric

    first, second = survey(left), survey(right)
    variables = first.variables | second.variables
    if first.degree is not None and second.degree is not None:
        kept = _proportional_rational(left, right)
    else:
        kept = numeric.proportional_functions(left, right, variables)
    return numeric.same_sign(left, right, variables) if kept and positive else kept


def _same_rational(left: Node, right: Node) -> bool | None:
    decided = None
    for field in modular.FIELDS:
        for trial in range(_TRIALS):
            try:
                equal = modular.evaluate(left, field, trial) == modular.evaluate(right, field, trial)
            except OutOfReachError:
                continue
            if not equal:
                return False
            decided = True
            break
    return decided


def _proportional_rational(left: Node, right: Node) -> bool | None:
    for field in modular.FIELDS:
        pairs = []
        for trial in range(_TRIALS):
            try:
                pairs.append((modular.evaluate(left, field, trial), modular.evaluate(right, field, trial)))
            except OutOfReachError:
                continue
        if len(pairs) < 2:
            return None
        (a, b), *others = pairs
        if (a == 0) != (b == 0) or any((a * d - b * c) % field.prime for c, d in others):
            return False
    return True
