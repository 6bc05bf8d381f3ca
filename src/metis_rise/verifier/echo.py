"""Answers that only repeat the question.

A question often holds a formula that is equal to its answer: `3 + 4` in "What is 3 + 4?" equals 7, and `2x + 3 = 7`
is the equation to solve. Comparison by value cannot tell these from a solution.
"""

from __future__ import annotations

import re
from functools import lru_cache

from metis_rise.problems.answers import MAX_ANSWER_CHARS
from metis_rise.verifier.normal import folded, normal

# Of longer questions the end is looked at: that is where they ask.
_MAX_QUESTION = 4_000
# What a plain number, a fraction of two, a quantity with its unit or a name consists of.
_LITERAL = re.compile(r"[-+]?[\d.,]*(?:/\d+|\\frac\{?\d+\}?\{?\d+\}?)?[%\s]*(?:\\?[^\W\d_]+(?:\^[23])?)?")


def echoes(answer: str, question: str, gold: str | None) -> bool:
    """Whether `answer` is a formula that stands in `question` as it is and is not spelled as the gold answer.

    Plain numbers, quantities and words do not count: many questions name their answer among other things.
    """
    if len(answer) > MAX_ANSWER_CHARS:
        return False
    plain = normal(answer)
    if _LITERAL.fullmatch(plain):
        return False
    said = folded(plain)
    if gold is not None and _spelled_as(said, folded(normal(gold[:MAX_ANSWER_CHARS]))):
        return False
    asked = _asked(question)
    return any(
        not _joined(asked[: match.start()][-1:], said[0]) and not _joined(said[-1], asked[match.end() :][:1])
        for match in re.finditer(re.escape(said), asked)
    )


@lru_cache(maxsize=1024)
def _asked(question: str) -> str:
    return folded(normal(question[-_MAX_QUESTION:]))


def _spelled_as(said: str, wanted: str) -> bool:
    """Whether the two differ in enclosing brackets or a name before `=` at most."""
    said, wanted = said.strip("()[]"), wanted.strip("()[]")
    return said in wanted or said.endswith(f"={wanted}")


def _joined(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one number or word."""
    return left.isalnum() and right.isalnum() and (left.isdigit() == right.isdigit())
