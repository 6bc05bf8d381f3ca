"""Tokens to a tree, by recursive descent."""

from __future__ import annotations

from collections.abc import Callable

from metis_rise.verifier.algebra import tree
from metis_rise.verifier.algebra.exact import OutOfReachError
from metis_rise.verifier.algebra.functions import INVERSES, TRIGONOMETRIC, applied
from metis_rise.verifier.algebra.lexer import Tokens, tokens
from metis_rise.verifier.algebra.numerals import numeral, repeating
from metis_rise.verifier.algebra.tree import CONSTANTS, DEGREE, MINUS_ONE, Node, number
from metis_rise.verifier.algebra.words import is_function

_MAX_DEPTH = 24
_CLOSING = {"(": ")", "[": "]", "{": "}", "|": "|"}
_ATOMS = frozenset(("number", "variable", "constant", "function", "frac", "binom", "sqrt", "(", "[", "{"))
_AFTER_ATOMS = frozenset(("^", "!", "%", "degree"))
_SIGNS = frozenset("+-")
# The tokens of a fraction of whole numbers.
_FRACTION = frozenset(("frac", "number", "{", "}", "/"))


def read_tree(text: str) -> Node:
    """The tree that `text` writes; see `read` of this package for what is read and how.

    Raises:
        OutOfReachError: for anything that is no expression.
    """
    return _Reader(tokens(text)).whole()


class _Reader:
    """Reads at `_at`, where the token is of the kind `_kind`; every method reads one part and stops after it."""

    def __init__(self, found: Tokens) -> None:
        self._kinds, self._texts, self._spaced = found
        self._at = 0
        self._kind = self._kinds[0]
        self._depth = 0
        self._in_bars = False
        self._angle = False

    def whole(self) -> Node:
        """The whole text; an infinity is read alone only, nothing is calculated with it."""
        if "infinity" in self._kinds:
            sign = self._take() if self._kind in _SIGNS else "+"
            if self._kinds[self._at : self._at + 2] != ["infinity", "end"]:
                raise OutOfReachError
            return Node("infinity", (), -1 if sign == "-" else 1)
        node = self._nested(self._sum)
        if self._kind != "end":
            raise OutOfReachError
        return node

    def _go(self, steps: int = 1) -> None:
        self._at += steps
        self._kind = self._kinds[self._at]

    def _take(self) -> str:
        text = self._texts[self._at]
        self._go()
        return text

    def _nested(self, part: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise OutOfReachError
        node = part()
        self._depth -= 1
        return node

    def _sum(self) -> Node:
        terms = [self._signed(self._term)]
        while self._kind in _SIGNS:
            terms.append(self._signed(self._term))
        return terms[0] if len(terms) == 1 else tree.add(terms)

    def _signed(self, part: Callable[[], Node]) -> Node:
        """`part`, with at most one sign before it: of two signs in a row, `+-` may stand for plus or minus."""
        if self._kind not in _SIGNS:
            return part()
        return tree.negate(part()) if self._take() == "-" else part()

    def _term(self) -> Node:
        factors: list[Node] = []
        self._factors(factors)
        while True:
            if self._kind == "*":
                self._go()
                factors.append(self._signed(self._product))
            elif self._kind == "/":
                self._go()
                alone = self._kind == "number" and not any(tree.survey(factor).variables for factor in factors)
                below = self._signed(self._power if alone else self._tight_product)
                factors.append(tree.raise_to(below, MINUS_ONE))
            elif self._starts_atom():
                self._factor(factors)
            else:
                return factors[0] if len(factors) == 1 else tree.multiply(factors)

    def _product(self) -> Node:
        factors: list[Node] = []
        self._factors(factors)
        return factors[0] if len(factors) == 1 else tree.multiply(factors)

    def _tight_product(self) -> Node:
        """Factors without sign and without space between them: what the slash of b/2a divides by."""
        factors = [self._power()]
        while self._starts_atom() and self._at not in self._spaced:
            self._factor(factors)
        return factors[0] if len(factors) == 1 else tree.multiply(factors)

    def _factors(self, factors: list[Node]) -> None:
        """Appends factors that have no sign between them."""
        start = self._at
        factors.append(self._power())
        if self._kind in ("frac", "number") and self._at == start + 1 and self._texts[start].isdigit():
            self._after_whole_number(factors)
        while self._kind in _ATOMS or self._starts_atom():
            self._factor(factors)

    def _factor(self, factors: list[Node]) -> None:
        if self._kind == "number":
            raise OutOfReachError  # x2, (x + 1)2, 3 4: what is meant is not known
        factors.append(self._power())

    def _starts_atom(self) -> bool:
        return self._kind in _ATOMS or (self._kind == "|" and not self._in_bars)

    def _after_whole_number(self, factors: list[Node]) -> None:
        r"""Adds the fraction of `1\frac{1}{2}` or `1 1/2`; a fraction of another kind is a factor: `2\frac{x}{3}`."""
        start, latex = self._at, self._kind == "frac"
        part = self._power()
        if not latex:
            if self._kind != "/":
                raise OutOfReachError
            self._go()
            part = tree.divide(part, self._power())
        plain = _FRACTION.issuperset(self._kinds[start : self._at]) and "frac" not in self._kinds[start + 1 : self._at]
        whole_numbers = plain and "." not in "".join(self._texts[start : self._at])
        if whole_numbers and part.kind == "number" and 0 < part.value < 1:
            factors[-1] = tree.add((factors[-1], part))
        elif not latex:
            raise OutOfReachError
        else:
            factors.append(part)

    def _power(self) -> Node:
        """An atom and what follows it: powers, factorials, a percent sign or a degree sign."""
        node = self._atom()
        for _ in range(_MAX_DEPTH):
            kind = self._kind
            if kind not in _AFTER_ATOMS:
                return node
            self._go()
            if kind == "^":
                node = tree.raise_to(node, self._nested(self._exponent))
            elif kind == "%":
                node = tree.divide(node, number(100))
            elif kind == "degree":
                node = tree.multiply((node, DEGREE)) if self._angle else node
            elif self._kind == "!":
                raise OutOfReachError
            else:
                node = tree.call("factorial", node)
        raise OutOfReachError

    def _exponent(self) -> Node:
        if self._kind != "{":
            return self._signed(self._power)
        node = self._group()
        if self._kind == "^":
            self._go()
            node = tree.raise_to(node, self._nested(self._exponent))
        return node

    def _atom(self) -> Node:
        match self._kind:
            case "number":
                return self._number()
            case "variable":
                return self._variable()
            case "(" | "[" | "{":
                return self._group()
            case "|":
                return tree.call("abs", self._group())
            case "constant":
                return CONSTANTS[self._take()]
            case "frac":
                self._go()
                return tree.divide(self._argument(), self._argument())
            case "sqrt":
                return self._root()
            case "function":
                return self._function(self._take())
            case "binom":
                self._go()
                return tree.call("binomial", self._argument(), self._argument())
        raise OutOfReachError

    def _group(self) -> Node:
        closing = _CLOSING[self._take()]
        in_bars, self._in_bars = self._in_bars, closing == "|"
        node = self._nested(self._sum)
        if self._kind != closing:
            raise OutOfReachError
        self._go()
        self._in_bars = in_bars
        return node

    def _root(self) -> Node:
        self._go()
        degree = self._group() if self._kind == "[" else number(2)
        return tree.raise_to(self._argument(), tree.raise_to(degree, MINUS_ONE))

    def _number(self) -> Node:
        text = self._take()
        return self._repeating(text) if self._kind == "repeated" else numeral(text)

    def _repeating(self, text: str) -> Node:
        r"""`0.1\overline{6}`: the digits under the bar repeat for ever."""
        self._go()
        braced = self._kind == "{"
        if braced:
            self._go()
        period = self._take()
        if "." not in text or not period.isdigit() or (braced and self._take() != "}"):
            raise OutOfReachError
        return repeating(text, period)

    def _variable(self) -> Node:
        """A variable; a letter that is applied to something as a function is refused."""
        name = self._take()
        if self._kind == "(" and is_function(name, alone=self._kinds[self._at + 2] == ")"):
            raise OutOfReachError
        return tree.variable(name)

    def _argument(self) -> Node:
        r"""The argument of a command such as \frac: a group, one digit, or one atom."""
        if self._kind == "{":
            return self._group()
        if self._kind == "number":
            text = self._texts[self._at]
            if not text.isdigit():
                raise OutOfReachError
            if len(text) == 1:
                self._go()
            else:
                self._texts[self._at] = text[1:]
            return numeral(text[0])
        if self._kind in _CLOSING:
            raise OutOfReachError
        return self._nested(self._atom)

    def _function(self, name: str) -> Node:
        if name in ("sqrt", "abs"):
            argument = self._nested(self._atom)
            return tree.square_root(argument) if name == "sqrt" else tree.call("abs", argument)
        base = exponent = None
        while self._kind in ("_", "^"):
            if self._take() == "^":
                exponent = self._nested(self._exponent)
            elif name == "log":
                base = self._base()
            else:
                raise OutOfReachError
        if exponent == MINUS_ONE:
            if name not in INVERSES:
                raise OutOfReachError
            name, exponent = INVERSES[name], None
        angle, self._angle = self._angle, name in TRIGONOMETRIC
        node = applied(name, self._nested(self._function_argument), base)
        self._angle = angle
        return node if exponent is None else tree.raise_to(node, exponent)

    def _base(self) -> Node:
        r"""The base of a logarithm: what TeX takes, one digit without braces, but \log_10 x is written too."""
        if self._texts[self._at] == "10" and self._kinds[self._at + 1] in _ATOMS:
            return numeral(self._take())
        return self._argument()

    def _function_argument(self) -> Node:
        r"""A group alone, or what stands up to the next sign, function or bracket: \sin 2x \cos y is a product."""
        if self._kind in _CLOSING:
            return self._atom()
        return self._signed(self._function_product)

    def _function_product(self) -> Node:
        """What is no single letter belongs to it after numbers only: sin 2(x + 1), but not sin x(x + 1)."""
        node = self._power()
        while self._starts_atom() and self._kind not in ("function", "number"):
            letter = self._kind == "variable" or self._texts[self._at] in ("pi", "i")
            if not letter and tree.survey(node).variables:
                break
            node = tree.multiply((node, self._power()))
        return node
