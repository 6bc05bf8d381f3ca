r"""Made-up pairs of a gold answer and an answer: what `rise bench verify` judges.

Every pair is a function of its family and its number, and whether it is right follows from how it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from metis_rise.seeding import derive
from metis_rise.types import AnswerType

_SENTENCES = (
    "The two triangles share an angle, so their sides have the same ratio",
    "Reading the table from the left, the values grow by the same step",
    "We put this into the second equation and collect the terms",
    "The shaded part is what is left when the circle is taken away",
    "Checking the other case leads to a contradiction, so it is left out",
)
_SYLLABLES = ("ba", "cor", "den", "fil", "gam", "hol", "kir", "lum", "mon", "nep", "pol", "rus", "sel", "tor", "van")
# (gold, other writings of it, a wrong answer).
_Made = tuple[str, Sequence[str], str]
_Kind = Callable[[Random], _Made]


@dataclass(frozen=True, slots=True)
class Pair:
    """`same` is whether `answer` means `gold`; `choices` are the texts of a choice's options."""

    gold: str
    answer: str
    answer_type: AnswerType
    same: bool
    choices: tuple[str, ...] | None


def make_pair(family: str, number: int) -> Pair:
    """Pair `number` of a family of `FAMILIES`; every other one is right."""
    draw = Random(derive("verdict pair", family, number))
    kind = FAMILIES[family][number // 2 % len(FAMILIES[family])]
    gold, writings, wrong = kind(draw)
    same = number % 2 == 0
    answer_type = _SIMPLE.get(kind, AnswerType.TEXT)
    choices = tuple(_name(draw)[0] for _ in range(5)) if answer_type is AnswerType.CHOICE else None
    return Pair(gold, draw.choice(writings) if same else wrong, answer_type, same, choices)


def make_completion(pair: Pair, number: int) -> str:
    """A completion in the format of RISE, of five sentences or some 100 words, which ends in the pair's answer."""
    draw = Random(derive("verdict completion", number))
    sums = [(draw.randint(2, 99), draw.randint(2, 99)) for _ in range(5)]
    told = " ".join(f"{draw.choice(_SENTENCES)}: {a} + {b} = {a + b}." for a, b in sums)
    return f"<think>\n{told}\n</think>\n<answer>\nThe answer is \\boxed{{{pair.answer}}}.\n</answer>"


def _integer(draw: Random) -> _Made:
    value = draw.randint(1000, 10**7)
    return str(value), (str(value), f"{value:,}", f"{value}.0"), str(value + draw.randint(1, 9))


def _decimal(draw: Random) -> _Made:
    value = draw.randint(1001, 99_999)
    return f"{value / 100:.2f}", (f"{value / 100:.2f}", f"{value / 100:.3f}"), f"{(value + 3) / 100:.2f}"


def _choice(draw: Random) -> _Made:
    right, wrong = draw.sample("ABCDE", 2)
    return right, (right, f"({right})"), wrong


def _ratio(draw: Random) -> _Made:
    top, bottom = draw.randint(2, 9999), draw.randint(2, 9999)
    return f"{top}/{bottom}", (f"\\frac{{{top}}}{{{bottom}}}", f"{2 * top}/{2 * bottom}"), f"{top + 1}/{bottom}"


def _name(draw: Random) -> _Made:
    right, wrong = ("".join(draw.sample(_SYLLABLES, 4)) for _ in range(2))
    return right, (right, right.upper(), f"\\text{{{right}}}"), wrong


def _polynomial(draw: Random) -> _Made:
    a, b = draw.randint(2, 999), draw.randint(2, 999)
    writings = (f"(x+{b})(x+{a})", f"{a * b}+x^2+{a + b}x")
    return f"x^2+{a + b}x+{a * b}", writings, f"x^2+{a + b}x+{a * b + 1}"


def _surd(draw: Random) -> _Made:
    a, b, c = draw.randint(2, 999), draw.randint(2, 30), draw.choice((2, 3, 5, 6, 7, 10, 11, 13))
    writings = (f"{b}\\sqrt{{{c}}}+{a}", f"{a}+\\sqrt{{{b * b * c}}}")
    return f"{a}+{b}\\sqrt{{{c}}}", writings, f"{a}-{b}\\sqrt{{{c}}}"


def _quotient(draw: Random) -> _Made:
    a, b = draw.randint(2, 999), draw.randint(2, 999)
    return f"\\frac{{x+{a}}}{{{b}}}", (f"\\frac{{x}}{{{b}}}+\\frac{{{a}}}{{{b}}}",), f"\\frac{{x-{a}}}{{{b}}}"


def _angle(draw: Random) -> _Made:
    a, b = draw.randint(2, 999), draw.randint(3, 999)
    writings = (f"\\frac{{{a}}}{{{b}}}\\pi", f"\\frac{{{2 * a}\\pi}}{{{2 * b}}}")
    return f"\\frac{{{a}\\pi}}{{{b}}}", writings, f"\\frac{{{a}\\pi}}{{{b + 1}}}"


def _logarithm(draw: Random) -> _Made:
    a, b = draw.randint(2, 999), draw.randint(2, 999)
    return f"\\ln {a}+\\ln {b}", (f"\\ln {a * b}", f"\\ln({a})+\\ln({b})"), f"\\ln {a * b + 1}"


def _finite_set(draw: Random) -> _Made:
    a, b, c = draw.sample(range(-99, 100), 3)
    return (
        f"\\{{{a}, {b}, {c}\\}}",
        (f"\\{{{c},{a},{b}\\}}", f"\\left\\{{{b}, {c}, {a}\\right\\}}"),
        f"\\{{{a}, {b}\\}}",
    )


def _list(draw: Random) -> _Made:
    a, b, c = draw.sample(range(2, 99), 3)
    return f"{a}, \\frac{{{b}}}{{{c}}}", (f"\\frac{{{b}}}{{{c}}}, {a}",), f"{a}, \\frac{{{b + 1}}}{{{c}}}"


def _tuple(draw: Random) -> _Made:
    a, b, c = draw.sample(range(3, 99), 3)
    return f"({a}, {b}, \\frac{{{c}}}{{2}})", (f"({a},{b},{c / 2})",), f"({b}, {a}, \\frac{{{c}}}{{2}})"


def _interval(draw: Random) -> _Made:
    a, b = draw.randint(-999, 0), draw.randint(1, 999)
    return f"[{a}, {b})", (f"\\left[{a},{b}\\right)", f"[{2 * a}/2, {b})"), f"[{a}, {b}]"


def _union(draw: Random) -> _Made:
    a, b = draw.randint(-999, 0), draw.randint(1, 999)
    gold = f"(-\\infty, {a}) \\cup ({b}, \\infty)"
    return gold, (f"({b},\\infty)\\cup(-\\infty,{a})",), f"(-\\infty, {a}] \\cup ({b}, \\infty)"


def _length(draw: Random) -> _Made:
    a = draw.randint(2, 99_999)
    return f"{a} m", (f"{100 * a} cm", f"{a}\\text{{ m}}", f"{a} meters"), f"{a} km"


def _area(draw: Random) -> _Made:
    a = draw.randint(2, 99_999)
    return f"{a} \\text{{ cm}}^2", (f"{a} cm^2", f"{a}\\,\\mathrm{{cm}}^2"), f"{a + 1} \\text{{ cm}}^2"


def _line(draw: Random) -> _Made:
    a, b = draw.randint(2, 999), draw.randint(2, 999)
    return f"y={a}x+{b}", (f"y={b}+{a}x", f"{a}x-y+{b}=0", f"2y={2 * a}x+{2 * b}"), f"y={a}x-{b}"


def _circle(draw: Random) -> _Made:
    a, b, r = draw.randint(2, 30), draw.randint(2, 30), draw.randint(2, 30)
    gold = f"(x-{a})^2+(y-{b})^2={r * r}"
    return gold, (f"(y-{b})^2+(x-{a})^2={r}^2",), f"(x-{a})^2+(y-{b})^2={r * r + 1}"


def _matrix(draw: Random) -> _Made:
    a, b, c, d = (draw.randint(2, 99) for _ in range(4))
    right = f"\\begin{{bmatrix}} {a} & {b} \\\\ {c} & \\frac{{{2 * d}}}{{2}} \\end{{bmatrix}}"
    wrong = f"\\begin{{pmatrix}} {a} & {b} \\\\ {c} & {d + 1} \\end{{pmatrix}}"
    return f"\\begin{{pmatrix}} {a} & {b} \\\\ {c} & {d} \\end{{pmatrix}}", (right,), wrong


def _integral(draw: Random) -> _Made:
    a, b = draw.randint(2, 999), draw.randint(2, 30)
    return f"\\int_0^{{{b}}} {3 * a}x^2 dx", (str(a * b**3), f"{a}\\cdot {b}^3"), str(a * b**3 + 1)


def _sum(draw: Random) -> _Made:
    a, b = draw.randint(2, 999), draw.randint(5, 40)
    value = a * b * (b + 1) // 2
    return f"\\sum_{{k=1}}^{{{b}}} {a}k", (str(value), f"\\frac{{{2 * value}}}{{2}}"), str(value + a)


def _limit(draw: Random) -> _Made:
    a, b = draw.randint(2, 999), draw.randint(2, 999)
    gold = f"\\lim_{{x \\to 0}} \\frac{{\\sin({a}x)}}{{{b}x}}"
    return gold, (f"\\frac{{{a}}}{{{b}}}",), f"\\frac{{{a + 1}}}{{{b}}}"


def _antiderivative(draw: Random) -> _Made:
    a, b = draw.randint(2, 999), draw.randint(2, 30)
    return f"\\int {a}e^{{{b}x}} dx", (f"\\frac{{{a}}}{{{b}}}e^{{{b}x}}",), f"\\frac{{{b}}}{{{a}}}e^{{{b}x+1}}"


SIMPLE = "simple"
_SIMPLE: dict[_Kind, AnswerType] = {
    _integer: AnswerType.NUMBER,
    _decimal: AnswerType.NUMBER,
    _choice: AnswerType.CHOICE,
    _ratio: AnswerType.NUMBER,
    _name: AnswerType.TEXT,
}
FAMILIES: dict[str, tuple[_Kind, ...]] = {
    SIMPLE: tuple(_SIMPLE),
    "expression": (_polynomial, _surd, _quotient, _angle, _logarithm),
    "set": (_finite_set, _list, _tuple),
    "interval": (_interval, _union),
    "unit": (_length, _area),
    "equation": (_line, _circle),
    "matrix": (_matrix,),
    "calculus": (_integral, _sum, _limit, _antiderivative),
}
