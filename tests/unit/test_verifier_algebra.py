r"""Reading and comparing expressions: cases worked by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from metis_rise.verifier.algebra import Expression, constant, proportional, read, same
from metis_rise.verifier.algebra.modular import FIELDS
from metis_rise.verifier.normal import normal


def reading(text: str) -> Expression:
    expression = read(text)
    assert expression is not None, f"{text!r} is not read"
    return expression


def alike(a: str, b: str) -> bool | None:
    """What `same` says, which must not depend on the order."""
    verdict = same(reading(a), reading(b))
    assert same(reading(b), reading(a)) is verdict
    return verdict


READINGS = [
    # fractions, roots, powers
    (r"\frac{3}{4}", "3/4"),
    (r"\dfrac 3 4", "3/4"),
    (r"\frac34", "3/4"),
    (r"\tfrac{3}4", "3/4"),
    (r"\frac\pi2", "pi/2"),
    (r"\frac123", "1/2*3", None),
    (r"\sqrt3", "3^(1/2)"),
    (r"5\sqrt3", "5*3^(1/2)"),
    (r"\sqrt{2}x", "x*2^0.5"),
    (r"\sqrt[3]{x}", "x^(1/3)"),
    (r"\sqrt[n]{x}", "x^(1/n)"),
    ("sqrt(2)", r"\sqrt{2}"),
    ("√2", r"\sqrt{2}"),
    ("√(x+1)", r"\sqrt{x+1}"),
    ("2**3", "8"),
    ("2^-3", "1/8"),
    ("2^{-3}", "1/8"),
    ("-x^2", "-(x^2)"),
    ("2^3^2", "2^9"),
    ("x^{2}^{3}", "x^8"),
    ("x²", "x^2"),
    ("x⁻¹", "1/x"),
    # signs
    ("x − 1", "x - 1"),
    (r"2 \cdot 3 \times x", "6x"),
    (r"6 \div 2", "3"),
    ("2·x×3÷6", "x"),
    ("x^2 + 2*x - (-1)", "x^2+2x+1"),
    ("2*-3", "-6"),
    # products without a sign
    ("2x", "2*x"),
    ("(x+1)(x-1)", "x^2-1"),
    (r"2 \sin b \cos a", r"2*\sin(b)*\cos(a)"),
    ("2ab", "2*a*b"),
    ("u + at", "u + a*t"),
    (r"\frac{abc}{4R}", "a*b*c/(4*R)"),
    ("x y + 1", "x*y + 1"),
    ("h(a+b)/2", "(h*a + h*b)/2"),
    # slashes
    ("3/4x", r"\frac{3}{4}x"),
    ("1/2x", "0.5x"),
    ("b/2a", r"\frac{b}{2a}"),
    ("b/2 a", r"\frac{b}{2}a"),
    ("a/b*c", r"\frac{a}{b}c"),
    (r"\sqrt3/2 x", r"\frac{\sqrt3}{2} x"),
    ("1/2/3", "1/6"),
    # mixed numbers
    ("1 1/2", "3/2"),
    (r"1\frac{1}{2}", "3/2"),
    (r"-1\frac12", "-3/2"),
    (r"2\frac{4}{3}", "8/3"),
    (r"2\frac43", "8/3"),
    (r"2\frac{x}{3}", "2x/3"),
    (r"2\frac{2\frac{1}{3}}{5}", "2*(7/3)/5"),
    # functions
    (r"\sin 2x \cos y", r"\sin(2x)\cos(y)"),
    (r"\sin x/2", r"\frac{\sin(x)}{2}"),
    (r"\sin x(x+1)", r"(x+1)\sin(x)"),
    (r"\sin 2(x+1)", r"\sin(2x+2)"),
    (r"\cos x e^x", r"e^x\cos(x)"),
    (r"\sin^2 x", r"(\sin x)^2"),
    (r"\sin(x)^2", r"(\sin x)^2"),
    (r"\sin x^2", r"\sin(x^2)"),
    (r"\tan^{-1} x", r"\arctan x"),
    (r"\sin -x", r"-\sin x"),
    ("2sin(x)", r"2\sin x"),
    ("sinx + 1", r"1+\sin x"),
    (r"\operatorname{arcsin} x", "asin(x)"),
    (r"\sec x", r"1/\cos x"),
    (r"\csc x", r"1/\sin x"),
    (r"\cot x", r"\cos x/\sin x"),
    (r"\log_2 8", "3"),
    (r"\log_{10} x", r"\lg x"),
    (r"\log_10 x", r"\lg x"),
    (r"\log_28", "3"),
    (r"\log_{2}8x", r"\ln(8x)/\ln 2"),
    (r"\log x", r"\ln x"),
    (r"\log_3^2 x", r"(\log_3 x)^2"),
    (r"\ln|x|", r"\ln(|x|)"),
    (r"\exp(2x)", "e^{2x}"),
    (r"\binom{5}{2}", "10"),
    (r"\dbinom52", "10"),
    ("5!", "120"),
    ("2^3!", "64"),
    ("|x|", "abs(x)"),
    ("||x| - 1|", "abs(abs(x) - 1)"),
    ("|x||y|", "abs(x)*abs(y)"),
    (r"\left| x-1 \right|", "abs(x-1)"),
    # numbers
    ("1,000,000", "10^6"),
    (r"10{,}080", "10080"),
    (r"10,\!080", "10080", None),
    ("1e-5", "0.00001"),
    ("2e3", "2000"),
    ("2.5E3 x", "2500x"),
    ("3 + 2e", "3 + 2*e"),
    ("0.5", "1/2"),
    (".5", "1/2"),
    ("7.", "7"),
    (r"0.\overline{3}", "1/3"),
    (r"0.1\bar{6}", "1/6"),
    (r"0.\dot{3}", "1/3"),
    (r"50\%", "1/2"),
    ("50%", "1/2"),
    (r"30^\circ", "30"),
    (r"30^{\circ}", "30"),
    ("30°", "30"),
    (r"\sin 30^\circ", r"\sin\frac{\pi}{6}"),
    (r"\cos(x + 30°)", r"\cos(x + \frac{\pi}{6})"),
    (r"\sin^{-1}(1/2) + 30^\circ", r"30 + \arcsin(0.5)"),
    # names
    ("x_1", "x_{1}"),
    ("x_{12}", "x_12"),
    (r"v_{\text{max}}", "v_{max}"),
    (r"\alpha + β", r"\beta + \alpha"),
    ("pi r^2", r"\pi r^2"),
    ("π", r"\pi"),
    (r"\mathrm{e}^{x}", "e^x"),
    ("theta", r"\theta"),
    # brackets and dress
    (r"\left( x + 1 \right)", "[x + 1]"),
    (r"\left(x\right)\big[y\big]", "x*y"),
    (r"$\displaystyle x + 1$", "x+1"),
    (r"\(x\)", "x"),
    (r"x\,y\;z + 1", "x*y*z + 1"),
    (r"\text{5}", "5"),
    ("{2}^{3}", "8"),
]


@pytest.mark.parametrize("case", READINGS, ids=lambda case: case[0])
def test_what_is_read(case: tuple[str, ...]) -> None:
    text, meaning, *unread = case
    if unread:
        assert read(text) is None
    else:
        assert alike(text, meaning) is True


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "+", "-", "()", "{}", "(", "x)", "(3]", "|x", "|", "x^", "x^{}", "_1", "*2", "/2", "2/", "2*", "."),
        *(
            "cat",
            "a dog",
            "it would decrease",
            "increase",
            "2 cats",
            "cat + 1",
            "2 red",
            "is 5",
            "5 is",
            "no",
            "A B",
            "mass + 1",
        ),
        *("5 cm", "5cm", r"5\text{ cm}", "12 km/h", "3 mg", "10 am", "3rd", "x = 3", "x < 3", r"k \ge 2", "1:2"),
        *("(1, 2)", "1, 2", r"\{1\}", "3 or 5", r"\pm 3", "+-3", "x+-1", "--1", "x--1", "f(x)", "f'", "g(2)", "h(x)"),
        *("x2", "(x+1)2", "3 4", "x^2 3", "3/4 5", "5!!", "a_", r"x_\alpha", r"\pi_1", "1.2.3", "1 1.5/2"),
        *(r"\int x dx", r"\sum x", r"\frac{dy}{dx}", r"\vec{v}", r"\unknown x", r"\frac{1}", r"\sqrt", r"\frac12 3"),
        *(r"\left. x", r"\overline{AB}", r"3\overline{5}", r"2 + \infty", r"\infty\infty", r"0.333\ldots", "x \\\\ y"),
        *("1/0", r"\frac{1}{1-1}", "0^0", "0^{-1}", r"\ln 0", r"\sin_2 x", r"\ln^{-1} x", "1e99999", "10^{-99999}/0"),
    ],
)
def test_what_is_no_expression(text: str) -> None:
    assert read(text) is None


def test_variables_are_named_in_plain_letters() -> None:
    assert reading(r"x_1 + \alpha_{12} e^{i\pi} - Y").variables == {"x_1", "alpha_12", "Y"}
    assert reading("e_1 + i_2").variables == {"e_1", "i_2"}
    assert reading("x - x + 0y").variables == {"x"}


SAME = [
    ("(x+1)^2", "x^2+2x+1"),
    ("(x+i)(x-i)", "x^2+1"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    (r"\frac1x+\frac1y", r"\frac{x+y}{xy}"),
    (r"\pi r^2", r"r^2\pi"),
    ("(x+1)^{100}(x-1)^{100}", "(x^2-1)^{100}"),
    (r"\frac{\sqrt3}{3}", r"\frac{1}{\sqrt3}"),
    (r"\sqrt{75}", r"5\sqrt3"),
    (r"\sqrt{5+2\sqrt6}", r"\sqrt2+\sqrt3"),
    (r"\sqrt[3]{2+\sqrt5}+\sqrt[3]{2-\sqrt5}", "1"),
    (r"\sqrt{-3}", r"i\sqrt3"),
    (r"\sqrt{-4}", "2i"),
    ("(2+i)^2", "3+4i"),
    (r"\frac{1}{i}", "-i"),
    (r"e^{i\pi}", "-1"),
    (r"e^{i\pi/3}", r"\frac{1+i\sqrt3}{2}"),
    (r"\sqrt[3]{-8}", "-2"),
    ("(-8)^{2/3}", "4"),
    ("16^{3/4}", "8"),
    ("4^{-1/2}", "1/2"),
    (r"\cos\frac{\pi}{7}-\cos\frac{2\pi}{7}+\cos\frac{3\pi}{7}", r"\frac12"),
    (r"\tan 45^\circ", "1"),
    (r"\sin 15^\circ", r"\frac{\sqrt6-\sqrt2}{4}"),
    (r"\arctan 1", r"\frac{\pi}{4}"),
    (r"\arcsin(\sin 1)", "1"),
    (r"\arccos(\cos^2 1+\sin^2 1)", "0"),
    (r"\log_4 8", r"\frac32"),
    (r"\log_2 9", r"2\log_2 3"),
    (r"e^{\ln 5}", "5"),
    (r"\sin^2 x+\cos^2 x", "1"),
    (r"\sin 2x", r"2\sin x\cos x"),
    (r"1+\tan^2 x", r"\sec^2 x"),
    (r"\sinh x", r"\frac{e^x-e^{-x}}{2}"),
    (r"\sin(a+b)-\sin(a-b)", r"2\sin b\cos a"),
    ("e^{x+y}", "e^x e^y"),
    ("2^{x+1}", r"2\cdot 2^x"),
    ("4^x", "2^{2x}"),
    ("x^{1/2}", r"\sqrt x"),
    (r"\sqrt{x^2}", "|x|"),
    (r"\sqrt[3]{x^3}", "x"),
    (r"\ln e^x", "x"),
    (r"\frac{-b+\sqrt{b^2-4ac}}{2a}", r"\frac{2c}{-b-\sqrt{b^2-4ac}}"),
    ("(-1)^{n+1}", "-(-1)^n"),
    ("(-1)^{n+2}", "(-1)^n"),
    ("n!/(n-1)!", "n"),
    (r"\binom{n}{2}", r"\frac{n(n-1)}{2}"),
    ("2024!/2023!", "2024"),
    (r"\infty", r"+\infty"),
    ("9^{9^9}", r"9\cdot 9^{9^9-1}"),
    ("9^9^9^9", "9^{9^{9^9}}"),
    (r"1/(x-x) + \ln x", r"1/(x-x) + \ln x"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_same(a: str, b: str) -> None:
    assert alike(a, b) is True


DIFFERENT = [
    ("10^{20}", "10^{20}+1"),
    ("1/3", "0.333333333333333333333333333333333333333333333333333333333333"),
    ("2^{100000}", "2^{100000}+1"),
    ("9^{9^9}", "9^{9^9}+1"),
    ("x^2+2x+1", "x^2+2x+2"),
    ("x+10^{-200}", "x"),
    ("x+2n+1", "x+1"),
    ("x", "y"),
    ("x", "X"),
    ("x_1", "x_2"),
    ("x", "5"),
    (r"\pi r^2", "3.14r^2"),
    (r"2\pi", "6.283185307179586"),
    (r"\pi", "e"),
    ("i", "-i"),
    ("i", "1"),
    (r"\sqrt2", "1.4142135623730950488016887242096980785696718753769480731766797379907324784621"),
    (r"\sqrt2+10^{-100}", r"\sqrt2"),
    (r"\sqrt2+e^{-200}", r"\sqrt2"),
    (r"\sin(10^{-60})", "0"),
    (r"\sqrt{10^{40}+1}", "10^{20}"),
    (r"\sqrt{10^{40}}+\sqrt{10^{40}+2}", r"2\sqrt{10^{40}+1}"),
    # They agree to 134 digits: it takes the bound of `separation` to see that they differ.
    (r"\sqrt{10^{67}}+\sqrt{10^{67}+2}", r"2\sqrt{10^{67}+1}"),
    (r"e^{\pi\sqrt{163}}", "262537412640768744"),
    (r"\sqrt{x^2}", "x"),
    ("|x|", "x"),
    (r"\arcsin(\sin x)", "x"),
    (r"\sin x", r"\sin(x+10^{-30})"),
    (r"\sin^2 x+\cos^2 x", "1.0000000001"),
    ("e^x", "e^{-x}"),
    ("x^{0.5}", "x^{0.501}"),
    ("n!", "n"),
    ("(-1)^n", "1"),
    (r"\infty", r"-\infty"),
    (r"\infty", "1"),
    (r"\infty", "x"),
]


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different(a: str, b: str) -> None:
    assert alike(a, b) is False


@pytest.mark.parametrize(
    ("a", "b"),
    [
        # The same where both are real, but not everywhere.
        (r"\ln x^2", r"2\ln x"),
        (r"\ln(xy)", r"\ln x+\ln y"),
        (r"\sqrt{x}\sqrt{y}", r"\sqrt{xy}"),
        (r"\sin(\arcsin x)", "x"),
        (r"(\sqrt x)^2", "x"),
        (r"\cos(n\pi)", "(-1)^n"),
        # No value, or too large a one.
        (r"\tan 90^\circ", "1"),
        ("1/(x-x)", "1"),
        ("9^9^9^9", "9^9^9^9+1"),
        (r"\sqrt{2}+10^{700}", r"\sqrt{3}+10^{700}"),
        (r"1.1^{10^9}\sqrt2", "1"),
        (r"\sqrt2+2^{9^{9999}}", "1"),
        (r"((\sqrt2)^{999999999})^{999999999}", "1"),
        ("(1/2)!", "1"),
    ],
)
def test_undecided(a: str, b: str) -> None:
    assert alike(a, b) is None


@pytest.mark.parametrize(
    ("text", "value", "exact"),
    [
        ("7", "7", True),
        (r"\sqrt{16}", "4", True),
        (r"\frac{\frac12}{\frac34}", "2/3", True),
        ("(9+1)", "10", True),
        (r"\log_2 8 + 5!", "123", True),
        (r"6\sin 30^\circ", "3", False),
        (r"\log_4 8", "3/2", False),
        (r"\sqrt2\sqrt2", "2", False),
        (r"e^{i\pi}", "-1", False),
    ],
)
def test_constants_that_are_rational(text: str, value: str, exact: bool) -> None:
    found = constant(reading(text))
    assert found is not None
    assert (found.value, found.exact) == (Fraction(value), exact)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        (r"\sqrt2", "1.4142135623730950488016887242096980785696718753769"),
        (r"2\pi", "6.2831853071795864769252867665590057683943387987502"),
        ("e", "2.7182818284590452353602874713526624977572470936999"),
        (r"\ln 2", "0.69314718055994530941723212145817656807550013436026"),
        (r"-\frac{\sqrt3}{3}", "-0.57735026918962576450914878050195745564760175127013"),
        (r"10^{-30}\pi", "0.0000000000000000000000000000031415926535897932384626433832795028841971693993751"),
    ],
)
def test_constants_have_forty_digits(text: str, digits: str) -> None:
    found = constant(reading(text))
    assert found is not None
    assert not found.exact
    wanted = Fraction(digits)
    assert abs(found.value - wanted) < abs(wanted) / 10**40


@pytest.mark.parametrize("text", ["x", r"\infty", "i", r"\sqrt{-2}", r"\ln(-1)", "9^9^9^9", r"1/\cos 90^\circ"])
def test_what_has_no_real_value(text: str) -> None:
    assert constant(reading(text)) is None


@pytest.mark.parametrize(
    ("a", "b", "factor"),
    [
        (r"\frac{x^2}{4}+\frac{y^2}{3}-1", r"\frac{x^2}{16}+\frac{y^2}{12}-\frac14", 1),
        ("-x+1", "x-1", -1),
        ("x-1", "x-1", 1),
        (r"\sqrt2x-\sqrt2", "x-1", 1),
        (r"-\pi(x-y)", "x-y", -1),
        (r"3\sin x-3", r"1-\sin x", -1),
        (r"2e^x+2\ln y", r"\ln y+e^x", 1),
        ("5", "7", 1),
        ("5", "-7", -1),
        ("2i(x+1)", "x+1", None),
    ],
)
def test_proportional(a: str, b: str, factor: int | None) -> None:
    for left, right in ((a, b), (b, a)):
        assert proportional(reading(left), reading(right)) is True
        assert proportional(reading(left), reading(right), positive=True) is (None if factor is None else factor > 0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("x-1", "x-2"),
        ("x-1", "y-1"),
        ("2x-1", "x-1"),
        ("x^2-1", "x-1"),
        (r"\sin x-1", r"\sin x-2"),
        (r"\sqrt2x-1", "x-1"),
        ("x-1", "0"),
        ("0", "x-1"),
        ("0", "5"),
        (r"\sin x", r"\cos x"),
    ],
)
def test_not_proportional(a: str, b: str) -> None:
    assert proportional(reading(a), reading(b)) is False


def test_infinities_are_not_compared_with_equations() -> None:
    assert proportional(reading(r"\infty"), reading("x")) is None


@pytest.mark.parametrize(("a", "b"), SAME)
def test_normalised_texts_are_read_alike(a: str, b: str) -> None:
    """`normal` takes degree signs away, so angles in degrees are the exception."""
    if "circ" not in a + b:
        assert same(reading(normal(a)), reading(normal(b))) is True
        assert same(reading(normal(a)), reading(a)) is True


def test_a_power_that_is_1_in_both_fields_is_not_taken_for_1() -> None:
    """By Fermat x^(p - 1) is 1 in the field of p elements: such degrees must not be compared there."""
    exponent = math.lcm(*(field.prime - 1 for field in FIELDS))
    assert alike(f"x^{{{exponent}}}", "1") is None
    assert alike(f"3^{{{exponent}}}", "1") is None
