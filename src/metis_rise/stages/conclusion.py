"""Does the reasoning lead to the answer? A rule: the last result that it announces is the one in the box."""

from __future__ import annotations

import re

from metis_rise.problems.answers import read_letters
from metis_rise.types import AnswerType, Problem
from metis_rise.verifier.equivalence import equivalent
from metis_rise.verifier.extract import extract
from metis_rise.verifier.extraction import Rule
from metis_rise.verifier.normal import normal

_THINK_END = "</think>"
_ANNOUNCED = (Rule.TEXT_BOX, Rule.BOXES, Rule.ANNOUNCED)
# An equation at the very end, up to its result: "so 3 + 4 = 7." A result with words or a unit behind it is left alone.
_LAST_EQUATION = re.compile(r"=\s{0,4}(?P<result>-?\d[\d,]{0,20}(?:\.\d{1,20})?)[\s.$*]{0,8}$")
_TAIL = 200


def announced_result(problem: Problem, reasoning: str) -> str | None:
    r"""What `reasoning` ends in: its last box or "the answer is ...", else the result of an equation at its end."""
    found = extract(reasoning, strict=False, gold=problem.answer, choices=problem.choices)
    if found.rule in _ANNOUNCED:
        return found.answer
    equation = _LAST_EQUATION.search(reasoning.rstrip()[-_TAIL:])
    return None if equation is None else equation["result"]


def leads_elsewhere(problem: Problem, text: str, answer: str | None = None) -> bool:
    """Whether the reasoning of a right completion announces another result than the gold answer, and than `answer`.

    `answer` is what was extracted: where a model judge took it as right, the gold answer is worded otherwise.

    False where it announces nothing, or what cannot be compared: the text of an option, where the gold is its letter.
    """
    reasoning, end, _ = text.partition(_THINK_END)
    result = announced_result(problem, reasoning) if end else None
    if result is None:
        return False
    if problem.answer_type is AnswerType.CHOICE and read_letters(normal(result)) is None:
        return False
    right = (problem.answer, *(() if answer is None else (answer,)))
    return not any(equivalent(gold, result, problem.answer_type, problem.choices)[0] for gold in right)
