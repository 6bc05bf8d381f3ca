r"""Reading and comparing expressions: properties of generated ones and hostile texts."""

from __future__ import annotations

import threading
import time

import pytest
from algebra_trees import Tree, general
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_rise.verifier.algebra import Expression, constant, proportional, read, same

# Seconds of CPU that one text may take: less than the verifier's deadline of 3 s, and ten times what the worst takes.
ENOUGH = 1.5


def reading(text: str) -> Expression:
    expression = read(text)
    assert expression is not None, f"{text!r} is not read"
    return expression


def change_digit(text: str, which: int, by: int) -> str:
    """`text` with one of its digits, the `which`-th counted round, made another one."""
    places = [index for index, character in enumerate(text) if character.isdigit()]
    place = places[which % len(places)]
    return f"{text[:place]}{(int(text[place]) + by) % 10}{text[place + 1 :]}"


@given(general)
@settings(max_examples=100)
def test_latex_and_plain_text_are_read_alike(tree: Tree) -> None:
    latex, plain = read(tree.latex), read(tree.plain)
    assert (latex is None) == (plain is None)
    if latex is not None and plain is not None:
        assert same(latex, plain) is True
        assert same(latex, latex) is True
        assert proportional(latex, plain) is True


TEMPLATES = (
    "{}",
    "{}.{}",
    r"\frac{{{}}}{{{}}}",
    "{}x^2+{}x+{}",
    r"({}x+{})^{{12}}",
    r"{}\sqrt{{{}}}",
    r"\sqrt{{{}}}+\sqrt{{{}}}",
    r"\frac{{{}\pi}}{{{}}}+{}",
    r"{}e^{{{}}}",
    r"{}\sin({}x)+{}",
    r"\ln({}+x)-{}",
    r"{}+{}i",
    r"10^{{{}}}+1",
)


@given(
    st.sampled_from(TEMPLATES),
    st.lists(st.integers(1, 99), min_size=3, max_size=3),
    st.integers(0, 10),
    st.integers(1, 9),
)
@settings(max_examples=200)
def test_a_changed_digit_is_never_accepted(template: str, values: list[int], which: int, by: int) -> None:
    text = template.format(*values)
    expression, other = reading(text), read(change_digit(text, which, by))
    if other is not None:  # a denominator may have become 0
        assert same(expression, other) is False
        assert same(other, expression) is False


@given(st.integers(1, 10**120), st.integers(0, 119), st.integers(1, 9))
@settings(max_examples=100)
def test_a_changed_digit_of_a_long_number_is_never_accepted(value: int, which: int, by: int) -> None:
    text = str(value)
    for form in ("{}", "0.{}", "{}x+y", r"\sqrt2+{}", r"\sqrt2+0.{}", r"\pi\cdot 0.{}", r"\sqrt{{{}}}", "x+e^{{0.{}}}"):
        changed = form.format(change_digit(text, which, by))
        if len(form) + len(text) > 100 and "e^" in form:
            continue
        assert same(reading(form.format(text)), reading(changed)) is not True


FRAGMENTS = (
    *(r"\frac", r"\frac{1}{", r"\sqrt", r"\sqrt[3]{", r"\sin", r"\ln ", r"\log_", r"\binom", r"\left(", r"\right)"),
    *("{", "}", "(", ")", "[", "]", "|", "^", "_", "!", "%", "+", "-", "*", "/", "**", " ", ",", ".", "=", "'", "\\"),
    *("0", "1", "9", "12", "999", "9999", "1,000", "0.5", "1e9", "e", "i", "x", "y", r"\pi", "n!", "^{", "^9", "^x"),
    *(
        "9^9^9",
        "3000!",
        r"\overline{3}",
        r"^\circ",
        r"\infty",
        "sqrt(",
        "cat",
        "é",
        "\u0663",
        "\u00b2",
        "\ud800",
        "\x00",
    ),
)
hostile = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(FRAGMENTS), max_size=120).map("".join),
    st.tuples(st.sampled_from(FRAGMENTS), st.integers(1, 20_000)).map(lambda p: (p[0] * p[1])[:20_000]),
    st.tuples(st.sampled_from(FRAGMENTS), st.sampled_from(FRAGMENTS), st.integers(1, 400)).map(
        lambda p: ((p[0] + p[1]) * p[2])[:400]
    ),
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=8).map(lambda p: ("".join(p) * 400)[:400]),
)


@given(hostile)
@settings(max_examples=250)
def test_no_text_is_too_much(text: str) -> None:
    began = time.thread_time()
    expression = read(text)
    if expression is not None:
        assert same(expression, expression) is True
        for other in (reading("x+1"), reading(r"\sqrt2")):
            assert same(expression, other) is same(other, expression)
            proportional(expression, other, positive=True)
        constant(expression)
    assert time.thread_time() - began < ENOUGH


HEAVY = {
    "tower": ["9^9^9^9", "9^9^9^8"],
    "large powers": [f"{n}^9999" for n in range(2, 40)],
    "large denominators": [f"1/{n}^999" for n in range(3, 40)],
    "factorials": ["3000!/2999!", *["2999!"] * 40],
    "logarithms": [rf"\ln{n}" for n in range(2, 60)],
    "roots": [rf"\sqrt{{{n}}}" for n in range(2, 40)],
    "roots of functions": [rf"\sqrt[{n}]{{x}}" for n in range(2, 30)],
    "exponentials": [f"{n}^x" for n in range(2, 75)],
    "towers of functions": [f"e^{{x^{n}}}" for n in range(1, 36)],
    "inverse functions": [rf"\arcsin({n}x)" for n in range(1, 30)],
    "powers of sums": [f"(x+{n})^{{{n}99}}" for n in range(1, 25)],
    "small numbers": [rf"\sqrt{{2}}\cdot 10^{{-{n}0}}" for n in range(1, 17)],
    "fractional powers": ["(-x)^{0.001}"] * 20 + ["y"],
}


@pytest.mark.parametrize("terms", HEAVY.values(), ids=HEAVY.keys())
@pytest.mark.parametrize("sign", ["+", "*"])
def test_heavy_expressions_are_compared_quickly(terms: list[str], sign: str) -> None:
    began = time.thread_time()
    forward, backward = read(sign.join(terms)), read(sign.join(reversed(terms)))
    if forward is not None and backward is not None:
        assert same(forward, backward) is not False
        constant(forward)
        proportional(forward, backward, positive=True)
    assert time.thread_time() - began < ENOUGH


def test_threads_do_not_disturb_each_other() -> None:
    """mpmath grows its constants on demand; a thread that reads one meanwhile would see a wrong value."""
    terms = [rf"\ln({n}+\pi)\cdot e^{{{n}}}\cdot 10^{{{n * 7 % 90}}}" for n in range(2, 60)]
    pairs = [(reading(term), reading(term + "+x-x")) for term in terms]
    wrong: list[str] = []

    def compare(turn: int) -> None:
        order = pairs[turn:] + pairs[:turn]
        wrong.extend(str(a.root) for a, b in order if same(a, b) is not True)

    threads = [threading.Thread(target=compare, args=(turn * 13,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
