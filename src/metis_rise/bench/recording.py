"""Made-up problems and recorded trajectories, every one a function of its number: what `rise bench data` works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from metis_rise.seeding import derive
from metis_rise.types import AnswerType, Problem, StopReason, Trajectory

# Every so many problems has an answer in LaTeX.
LATEX_EVERY = 5
_LEAST_SENTENCES, _MOST_SENTENCES = 4, 8
_VOCABULARY = 150_000
_FAULTY, _CUT = 0.03, 0.02
_SENTENCES = (
    "first we take both sides of the triangle and find that",
    "then the area is the length times the height, which gives",
    "because the total over the number of parts is the same,",
    "again from left to right we count every square and circle, so",
    "now check that each value is true here, which equals",
)
# (right answer, other writings of it, a wrong answer).
_Answer = tuple[str, tuple[str, ...], str]


def make_problem(number: int) -> Problem:
    """Problem `number`; its `meta` holds the solve rate that its trajectories are drawn with."""
    draw = Random(derive("recorded problem", number))
    gold, _, _ = _answer(number)
    kind = draw.random()
    rate = 0.0 if kind < 0.3 else 1.0 if kind < 0.5 else draw.random()
    is_latex = number % LATEX_EVERY == 0
    answer_type = AnswerType.TEXT if is_latex else AnswerType.NUMBER
    question = f"Problem {number}: what is the value?"
    return Problem(f"recorded-{number:06d}", question, gold, answer_type, source="recorded", meta={"rate": rate})


def make_trajectories(number: int, problem: Problem, samples: int) -> Iterator[Trajectory]:
    """Its recorded trajectories, not judged yet: 60 tokens and more, no two the same."""
    gold, writings, wrong = _answer(number)
    for sample in range(samples):
        draw = Random(derive("recorded trajectory", number, sample))
        answer = draw.choice((gold, *writings)) if draw.random() < problem.meta["rate"] else wrong
        reasoning = _reasoning(draw, answer)
        ended, whole = draw.random() >= _CUT, draw.random() >= _FAULTY
        text = f"<think> {reasoning} </think><answer>\\boxed{{{answer}}}</answer>"
        if not whole:
            text = text.removeprefix("<think> ")
        count = len(reasoning.split()) + 8
        tokens = tuple(draw.choices(range(_VOCABULARY), k=count))
        logprobs = tuple(-draw.random() for _ in range(count))
        stop = StopReason.EOS if ended else StopReason.LENGTH
        yield Trajectory(problem.id, sample, text, tokens, logprobs, stop)


def _reasoning(draw: Random, answer: str) -> str:
    """Sentences with sums of their own, and the answer announced."""
    sentences = []
    for _ in range(draw.randint(_LEAST_SENTENCES, _MOST_SENTENCES)):
        left, right = draw.randint(2, 99), draw.randint(2, 99)
        sentences.append(f"{draw.choice(_SENTENCES)} {left} + {right} = {left + right}.")
    return " ".join([*sentences, f"So the answer is ${answer}$."])


def _answer(number: int) -> _Answer:
    draw = Random(derive("recorded answer", number))
    if number % LATEX_EVERY == 0:
        return draw.choice(_LATEX)(draw.randint(2, 30), draw.randint(2, 30))
    value = draw.randint(10, 99_999)
    return str(value), (f"{value:,}", f"{value}.0", f"x = {value}"), str(value + draw.randint(1, 9))


def _fraction(a: int, b: int) -> _Answer:
    top, bottom = 2 * a + 1, 2 * b
    writings = (f"\\dfrac{{{top}}}{{{bottom}}}", f"{top}/{bottom}", f"\\frac{{{3 * top}}}{{{3 * bottom}}}")
    return f"\\frac{{{top}}}{{{bottom}}}", writings, f"\\frac{{{top + 2}}}{{{bottom}}}"


def _root(a: int, b: int) -> _Answer:
    return f"{a}\\sqrt{{{b}}}", (f"\\sqrt{{{a * a * b}}}", f"{a} \\sqrt {{{b}}}"), f"{a + 1}\\sqrt{{{b}}}"


def _polynomial(a: int, b: int) -> _Answer:
    writings = (f"(x+{b})(x+{a})", f"x^2+{a + b}x+{a * b}")
    return f"(x+{a})(x+{b})", writings, f"(x+{a})(x-{b})"


def _interval(a: int, b: int) -> _Answer:
    writings = (f"\\left[{a},{a + b}\\right)", f"[{a},{a + b})")
    return f"[{a}, {a + b})", writings, f"[{a}, {a + b}]"


def _angle(a: int, b: int) -> _Answer:
    writings = (f"\\frac{{{a}}}{{{b}}}\\pi", f"{a}\\pi/{b}")
    return f"\\frac{{{a}\\pi}}{{{b}}}", writings, f"\\frac{{{a}\\pi}}{{{b + 1}}}"


_LATEX: tuple[Callable[[int, int], _Answer], ...] = (_fraction, _root, _polynomial, _interval, _angle)
