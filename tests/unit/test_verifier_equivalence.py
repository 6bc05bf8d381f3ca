r"""When two answers mean the same, and when they must not."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metis_rise.types import AnswerType
from metis_rise.verifier.equivalence import equivalent
from metis_rise.verifier.normal import normal
from metis_rise.verifier.numbers import read_number

CHOICE, NUMBER, TEXT = AnswerType.CHOICE, AnswerType.NUMBER, AnswerType.TEXT


def same(gold: str, answer: str, kind: AnswerType = TEXT, choices: tuple[str, ...] | None = None) -> bool:
    return equivalent(gold, answer, kind, choices, symbolic=None)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", "7"),
        ("+7", "7"),
        ("-7", "-7"),
        ("\u22127", "-7"),
        ("\u20137", "-7"),
        ("007", "7"),
        ("7.", "7"),
        (".5", "1/2"),
        ("-0.50", "-1/2"),
        ("1,207", "1207"),
        ("12,345,678.9", "123456789/10"),
        (r"10,\!080", "10080"),
        ("10{,}080", "10080"),
        ("$4$", "4"),
        (r"\text{24}", "24"),
        (r"\(3\)", "3"),
        ("(3)", "3"),
        ("3/4", "3/4"),
        ("-3 / 4", "-3/4"),
        ("(-3)/(4)", "-3/4"),
        (r"\frac{3}{4}", "3/4"),
        (r"-\dfrac{3}{4}", "-3/4"),
        (r"\tfrac{-3}{4}", "-3/4"),
        (r"\frac34", "3/4"),
        (r"\dfrac94", "9/4"),
        (r"\frac{9}4", "9/4"),
        (r"\frac{\frac{1}{2}}{\frac{3}{4}}", "2/3"),
        (r"\frac{\text{24}}{\text{5}}", "24/5"),
        ("1 1/2", "3/2"),
        ("-1 1/2", "-3/2"),
        (r"1\frac{1}{2}", "3/2"),
        ("1\u00bd", "3/2"),
        ("\u00bd", "1/2"),
        ("1.5e3", "1500"),
        ("1E-2", "1/100"),
        (r"1.5\times 10^{3}", "1500"),
        ("1.5 \u00d7 10^3", "1500"),
        (r"2 \cdot 10^{-2}", "1/50"),
        ("10^4", "10000"),
        ("142\u00b0", "142"),
        (r"20^{\circ}", "20"),
        (r"15{}^\circ", "15"),
        (r"{{8}^{\circ }}", "8"),
        ("90 degrees", "90"),
        ("\uff11\uff12", "12"),
    ],
)
def test_numbers_are_read_exactly(text: str, value: str) -> None:
    number = read_number(normal(text))
    assert number is not None
    assert number.value == Fraction(value)


NO_NUMBERS = (
    *(
        "",
        "-",
        ".",
        "--5",
        "+-5",
        "1,2",
        "12,34",
        "1 2",
        "1/2/3",
        "2 3/4 5",
        "4 or 5",
        "(1",
        "1)",
        "1_000",
        "0x1f",
        "5!",
    ),
    *("1/0", r"\frac{1}{0}", r"\frac{1}", r"2\frac{3}{2}", "x", "2x", "nan", "inf"),
    *("e5", "1e301", "1e-999", "1e999999", "10^{9999}", "2^10"),
)


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_anything_else_is_no_number(text: str) -> None:
    assert read_number(normal(text)) is None


ints = st.integers(-(10**12), 10**12)


@given(ints, ints)
def test_integers_in_every_dress_are_equal_and_only_to_themselves(value: int, other: int) -> None:
    assume(value != other)
    for written in (f"{value}", f"${value}$", f"{value:,}", rf"\text{{{value}}}", f" {value}. ", f"{value}\u00b0"):
        for kind in (NUMBER, TEXT):
            assert same(f"{value}", written, kind)
            assert same(written, f"{value}", kind)
            assert not same(f"{other}", written, kind)
            assert not same(written, f"{other}", kind)


@given(ints, st.integers(1, 10**6), ints, st.integers(1, 10**6))
def test_fractions_are_equal_exactly_when_their_values_are(a: int, b: int, c: int, d: int) -> None:
    expected = Fraction(a, b) == Fraction(c, d)
    for first in (f"{a}/{b}", rf"\frac{{{a}}}{{{b}}}", rf"\dfrac {{{a}}} {{{b}}}"):
        assert same(first, rf"\frac{{{c}}}{{{d}}}", NUMBER) is expected
        assert same(first, rf"\frac{{{3 * a}}}{{{3 * b}}}", NUMBER)


@given(st.integers(0, 10**6), st.integers(1, 10**4), st.integers(1, 10**4))
def test_mixed_numbers_round_trip(whole: int, above: int, rest: int) -> None:
    below = above + rest
    gold = f"{whole * below + above}/{below}"
    assert same(gold, f"{whole} {above}/{below}", NUMBER)
    assert same(gold, rf"{whole}\frac{{{above}}}{{{below}}}", NUMBER)
    assert not same(gold, f"{whole + 1} {above}/{below}", NUMBER)


@given(ints, st.integers(1, 6))
def test_a_decimal_gold_takes_what_rounds_to_it_and_nothing_further(scaled: int, places: int) -> None:
    unit = Fraction(1, 10**places)
    gold = f"{'-' if scaled < 0 else ''}{abs(scaled) // 10**places}.{abs(scaled) % 10**places:0{places}d}"
    for distance, equal in ((0, True), (Fraction(2, 5), True), (Fraction(3, 5), False), (1, False)):
        answer = scaled * unit + distance * unit
        assert same(gold, f"{answer.numerator}/{answer.denominator}", NUMBER) is equal


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("0.33", "1/3", True),
        ("0.33", "0.3", False),
        ("1.20", "1.2", True),
        ("17.5", "17.46", True),
        ("17.5", "17", False),
        ("3", "3.0", True),
        ("3", "3.1", False),
        ("3", "2.999", False),
        ("1/60", "1/55", False),
        ("4", "4 or 5", False),
        ("4", "4, 5", False),
        ("12", "1 2", False),
        ("28%", r"28\%", True),
        ("28%", "28", True),
        ("28%", "28 percent", True),
        ("28%", "0.28", True),
        ("0.28", "28%", True),
        ("28", "28%", True),
        ("28%", "0.28%", False),
        ("28%", "2.8", False),
        ("42", "k = 42", True),
        ("k=1", "1", True),
        ("k=1", "k=2", False),
    ],
)
def test_numbers_by_hand(gold: str, answer: str, equal: bool) -> None:
    assert same(gold, answer, NUMBER) is equal


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("Equal", "equal.", True),
        ("12 meters", "12meters", True),
        (r"5 \sqrt{3}", r"$5\sqrt3$", True),
        (r"2\sqrt{3}", r"\sqrt{3}", False),
        (r"\frac{\pi}{4}", "\\dfrac{\u03c0}{4}", True),
        (r"\frac{\sqrt{3}}{12}", r"\frac {\sqrt {3}} {12}", True),
        ("5a^{2}", "5a\u00b2", True),
        ("5a^{2}", "5a2", False),
        (r"6{{a}^{2}}", "6{a}^2", True),
        (r"\frac{{{2}^{n}}-1}{{{2}^{n}}}", r"\frac{2^n-1}{2^n}", True),
        (r"\sqrt{2^{n}}", r"\sqrt{2}^n", True),
        (r"\sqrt{2^{n}}", r"\sqrt{2}n", False),
        ("{8^\\circ}", "8", True),
        (r"\{1,2\}", "(1,2)", False),
        ("x < \u22122", "x<-2", True),
        (r"x \leq 1", "x <= 1", True),
        ("x < 1", "x <= 1", False),
        (r"\left ( 3,7\right )", "(3, 7)", True),
        ("2,3", "(2, 3)", True),
        ("(1/2, 3)", r"(0.5, \frac{6}{2})", True),
        ("(2,3)", "(3,2)", False),
        ("(2,3)", "(2,3,4)", False),
        ("(2,3)", "[2,3]", False),
        ("[0,5]", "(0,5)", False),
        ("[0,5)", "[0, 5.0)", True),
        ("(1,2),(3,4)", "(1, 2), (3, 4)", True),
        ("(1,2),(3,4)", "(1,2),(3,5)", False),
        (r"6 \text{ and } 8", "6, 8", True),
        ("AB=4,CD=5", "4, 5", True),
        ("AB=4,CD=5", "5, 4", False),
        ("1:3:2", "1:3:2", True),
        ("black", "white", False),
        ("blackbird", "black bird", False),
        ("", "", False),
        ("$$", "$ $", False),
        ("yes", "", False),
    ],
)
def test_texts_by_hand(gold: str, answer: str, equal: bool) -> None:
    assert same(gold, answer) is equal


OPTIONS = ("20", "25 cm", r"\frac{1}{2}", "true", "25")


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("B", "B", True),
        ("B", "(B)", True),
        ("B", "b.", True),
        ("B", "B)", True),
        ("B", r"\text{B}", True),
        ("B", "Option B", True),
        ("B", "B. 25 cm", True),
        ("B", "(B) 25 cm", True),
        ("B", "25cm", True),
        ("C", "0.5", True),
        ("C", r"\dfrac12", True),
        ("D", "True", True),
        ("A", "20", True),
        ("B", "A", False),
        ("B", "A, B", False),
        ("B", "A or B", False),
        ("B", "B or C", False),
        ("B", "A. 25 cm", False),
        ("B", "B. 20", False),
        ("B", "AB", False),
        ("B", "F", False),
        ("B", "", False),
        ("A, C", "C and A", True),
        ("A, C", "(A), (C)", True),
        ("A, C", "A", False),
        ("A, C", "A, B", False),
        ("A, C", "CA", True),
        ("A, C", "ABC", False),
        ("A, C", "ACC", False),
        ("A", "(A) (B)", False),
        ("A", "(A)/(B)", False),
        ("A", "(A) or (B)", False),
    ],
)
def test_choices_by_hand(gold: str, answer: str, equal: bool) -> None:
    assert same(gold, answer, CHOICE, OPTIONS) is equal


def test_an_answer_that_is_a_letter_is_never_read_as_another_options_text() -> None:
    assert not same("C", "A", CHOICE, ("B", "C", "A"))
    assert same("A", "A", CHOICE, ("B", "C", "A"))


def test_a_text_that_fits_two_options_is_no_answer() -> None:
    assert equivalent("A", "1/2", CHOICE, ("0.5", r"\frac12")) == (False, "fits several options")


def test_choices_drawn_in_the_picture_take_letters_only() -> None:
    assert same("B", "(B) whorled", CHOICE)
    assert not same("B", "whorled", CHOICE)


@given(st.text(max_size=40))
def test_every_readable_text_equals_itself_and_not_itself_with_more(text: str) -> None:
    # Nothing times anything is nothing.
    assume(normal(text) and "0" not in normal(text))
    assert same(text, text)
    assert not same(text, text + "zq")


@given(st.text(r"0123456789.,/-+e{}()[]%$\ fracx^=", max_size=200), st.text(r"01.,/e{}()%\ frac=", max_size=200))
def test_any_pair_of_short_texts_gets_a_verdict(gold: str, answer: str) -> None:
    for kind in AnswerType:
        assert equivalent(gold, answer, kind, symbolic=None)[1]


@pytest.mark.parametrize("unit", ["(", "{", r"\frac{", r"\frac1", "1/", "-", "1,", "[", "x=", "{{a}", r"\text{", "9"])
def test_long_texts_are_refused_and_deep_ones_read(unit: str) -> None:
    assert equivalent("1", unit * 1001, NUMBER) == (False, "longer than 1000 characters")
    assert not same("1", (unit * 1000)[:1000], NUMBER)


def test_the_symbolic_checker_decides_what_the_rules_leave_open() -> None:
    gold, answer = r"\int_0^1 x dx", r"\int_0^1 2y^3 dy"
    for said, expected in ((True, True), (False, False), (None, False)):
        assert equivalent(gold, answer, TEXT, symbolic=lambda g, a, said=said: said)[0] is expected
    assert not equivalent(gold, answer, TEXT, symbolic=None)[0]


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("7", "8"),
        ("tea", "eat"),
        ("white", r"\int white"),
        ("5 km", r"5 \int m"),
        (r"\int_0^1 x dx", r"\int_0^1 x dx, 2"),
        (r"\int_0^1 x dx", r"\int_0^1 x dx < 2"),
        (r"\int_0^1 x dx", r"\int_0^1 x dx \clubsuit"),
        (r"\int_0^1 x dx", r"\int_0^1 (x dx"),
        (r"\int_0^1 x dx", "1," * 300),
        ("x > 2", "x < 2"),
        ("A", "B"),
        ("8", "3 5"),
        ("f'(x)", "f(x)"),
        ("x''", "x'"),
        ("101_2", "(a)_b"),
        ("(a) 5 (b)", "(b) 5 (a)"),
        ("3!!", "3!"),
    ],
)
def test_the_symbolic_checker_is_asked_of_single_formulas_only(gold: str, answer: str) -> None:
    def never(one: str, other: str) -> bool:
        raise AssertionError(f"asked of {one!r} and {other!r}")

    for kind in AnswerType:
        assert not equivalent(gold, answer, kind, symbolic=never)[0]


def test_a_long_list_asks_the_symbolic_checker_a_few_times_at_most() -> None:
    asked = []
    gold = ", ".join(rf"\int_0^{n} x dx" for n in range(2, 9))
    equivalent(gold, gold.replace("x", "y"), TEXT, symbolic=lambda g, a: asked.append((g, a)))
    assert 0 < len(asked) <= 4
