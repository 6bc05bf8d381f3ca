"""What holds for every answer of a kind."""

from __future__ import annotations

import re
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metis_rise.types import AnswerType
from metis_rise.verifier.equivalence import equivalent

small = st.integers(-99, 99)
positive = st.integers(1, 99)
names = st.sampled_from(["x", "y", "n", r"\theta"])
units = st.sampled_from(["cm", "m", "km/h", r"\text{ cm}^2", " miles", " hours", r"^\circ", r"\%"])


def number() -> st.SearchStrategy[str]:
    fraction = st.builds(lambda a, b: rf"\frac{{{a}}}{{{b}}}", small, positive)
    mixed = st.builds(lambda a, b, c: rf"{a}\frac{{{b}}}{{{b + c}}}", positive, positive, positive)
    scientific = st.builds(lambda a, b: rf"{a} \times 10^{{{b}}}", positive, st.integers(-20, 20))
    return st.one_of(
        small.map(str), fraction, mixed, scientific, st.builds(lambda a, b: f"{a}.{b}", positive, positive)
    )


def expression() -> st.SearchStrategy[str]:
    atoms = st.one_of(number(), names, st.just(r"\pi"), positive.map(lambda n: rf"\sqrt{{{n}}}"))

    def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        both = st.builds(lambda a, sign, b: f"({a}){sign}({b})", inner, st.sampled_from("+-*"), inner)
        return st.one_of(both, st.builds(lambda a, n: f"({a})^{n}", inner, st.integers(2, 4)))

    return st.recursive(atoms, grown, max_leaves=4)


def several(brackets: tuple[str, str]) -> st.SearchStrategy[str]:
    members = st.lists(expression(), min_size=2, max_size=4)
    return members.map(lambda parts: brackets[0] + ", ".join(parts) + brackets[1])


def interval() -> st.SearchStrategy[str]:
    ends = st.builds(lambda a, b: f"{a}, {a + b}", small, positive)
    return st.builds(
        lambda left, inside, right: left + inside + right, st.sampled_from("(["), ends, st.sampled_from(")]")
    )


SYMMETRIC = {
    "expression": expression(),
    "set": several((r"\{", r"\}")),
    "tuple": several(("(", ")")),
    "interval": interval(),
    "equation": st.builds(lambda a, n: f"{a} = {n} y", expression(), positive),
    "inequality": st.builds(
        lambda n, sign, m: f"{n}x {sign} {m}", positive, st.sampled_from(["<", r"\le", ">", "!="]), small
    ),
    "matrix": st.builds(lambda a, b: rf"\begin{{pmatrix}} {a} & 1 \\ 0 & {b} \end{{pmatrix}}", number(), number()),
    "words": st.text("abcdefgh ", min_size=3, max_size=12).filter(str.strip),
}
ANY = st.one_of(*SYMMETRIC.values(), several(("", "")), st.builds(lambda n, unit: n + unit, number(), units))
EXACT = st.one_of(
    small.map(str),
    st.builds(lambda a, b: f"{a}/{b}", small, positive),
    st.builds(lambda a, b, x: f"{a}{x}^2+{b}", positive, positive, names),
    st.builds(lambda a, b: f"({a}, {b})", small, small),
    st.builds(lambda a, b: rf"\{{{a}, {b}\}}", small, small),
    st.builds(lambda a, unit: f"{a}{unit}", positive, units),
    st.builds(lambda a, b: f"y = {a}x + {b}", positive, positive),
    st.builds(lambda a: f"x > {a}", small),
    st.builds(lambda a, b: f"[{a}, {a + b})", small, positive),
    st.builds(lambda a, b: rf"{a}\sqrt{{{b}}}", positive, st.sampled_from([2, 3, 5, 7])),
    st.builds(lambda a, b: rf"\begin{{pmatrix}} {a} \\ {b} \end{{pmatrix}}", small, small),
)


def same(gold: str, answer: str) -> bool:
    return equivalent(gold, answer, AnswerType.TEXT, symbolic=None)[0]


@given(ANY)
def test_every_answer_equals_itself_whatever_its_dress(answer: str) -> None:
    for dressed in (answer, f"${answer}$", rf"\boxed{{{answer}}}", f" {answer} ", f"{answer}."):
        assert same(answer, dressed)
        assert same(dressed, answer)


@given(st.sampled_from(sorted(SYMMETRIC)).flatmap(lambda kind: st.tuples(SYMMETRIC[kind], SYMMETRIC[kind])))
def test_kinds_without_a_rounded_gold_are_symmetric(pair: tuple[str, str]) -> None:
    # A decimal gold takes what rounds to it; the other way round it need not.
    assume(not re.search(r"[0-9]\.[0-9]", "".join(pair)))
    assert same(*pair) is same(*reversed(pair))


@given(EXACT, st.data())
@settings(max_examples=300)
def test_another_digit_is_another_answer(gold: str, data: st.DataObject) -> None:
    edited = _edited(gold, data)
    assume(not _equal_by_value(gold, edited))
    assert not same(gold, edited)
    assert not same(edited, gold)


@given(st.integers(0, 10**6), st.integers(1, 4), st.data())
def test_a_decimal_with_another_digit_is_right_only_if_it_rounds_to_the_gold(
    scaled: int, places: int, data: st.DataObject
) -> None:
    gold = f"{scaled // 10**places}.{scaled % 10**places:0{places}d}"
    more = gold + str(data.draw(st.integers(0, 99)))
    edited = _edited(more, data)
    half = Fraction(1, 2 * 10**places)
    assert same(gold, edited) is (-half <= Fraction(edited) - Fraction(gold) < half)


@given(ANY, small)
def test_alternatives_are_never_right(gold: str, other: int) -> None:
    for answer in (f"{gold} or {other}", f"{other} or {gold}"):
        if not re.search(r"[,=<>!]|\\le", gold):
            assert not same(gold, answer)


def _edited(text: str, data: st.DataObject) -> str:
    place = data.draw(st.sampled_from([match.start() for match in re.finditer("[0-9]", text)]))
    digit = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != text[place]]))
    return text[:place] + digit + text[place + 1 :]


def _equal_by_value(gold: str, edited: str) -> bool:
    """Edits that keep the value by arithmetic: 0/7 and 0/8, -0 and 0, {1, 1} and the like."""
    values = [re.findall(r"-?[0-9]+", text) for text in (gold, edited)]
    if re.fullmatch("-?[0-9]+/[0-9]+", gold):
        (a, b), (c, d) = ([int(value) for value in side] for side in values)
        return not b or not d or Fraction(a, b) == Fraction(c, d)
    return [int(value) for value in values[0]] == [int(value) for value in values[1]]
