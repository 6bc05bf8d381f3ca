"""An answer taken out of a completion, and the rules that take it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum

from metis_rise.problems.answers import MAX_ANSWER_CHARS, read_letters
from metis_rise.verifier.normal import normal

_SEPARATED = re.compile(r",(?!\d{3}(?!\d))|;|\band\b|\\cup(?![A-Za-z])")
_WORD = re.compile(r"[^\W\d_]{3}|[\u2e80-\uffdc]")
_MATHS = re.compile(r"[\d\\$=<>^_|+*/]")


class Rule(StrEnum):
    """What found an answer, or why there is none."""

    ANSWER_BOX = "answer box"
    TEXT_BOX = "text box"
    BOXES = "consecutive boxes"
    ANNOUNCED = "announced"
    ANSWER_BLOCK = "answer block"
    TEXT = "text"
    OPTION_LETTER = "option letter"
    OPTION_TEXT = "option text"
    FORMULA = "last formula"
    NUMBER = "last number"
    NUMBER_WORD = "last number word"
    PREDICATE = "end of the last sentence"
    YES_OR_NO = "leading yes or no"
    REASONING_BOX = "box in the reasoning"

    NO_BOX = "no box"
    ONLY_REASONED = "box in the reasoning only"
    DIFFERENT_BOXES = "different boxes"
    NO_ANSWER = "no answer"
    SEVERAL_OPTIONS = "several options"
    OTHER_OPTION_TEXT = "letter and text of different options"
    ECHO = "echo of the question"


@dataclass(frozen=True, slots=True)
class Extraction:
    """An answer (None if there is none) and the rule that found it or says why none did."""

    answer: str | None
    rule: Rule


class Shape(Enum):
    """What kind of answer a question wants; all that the lenient reader knows of the gold answer."""

    CHOICE = "option letters"
    VALUE = "one number or formula"
    LIST = "several"
    WORDS = "words"
    UNKNOWN = "unknown"


def shape_of(gold: str | None, choices: Sequence[str] | None) -> Shape:
    """The shape of the gold answer: what it looks like, never what it is worth."""
    if choices or (gold is not None and read_letters(gold, any_case=False)):
        return Shape.CHOICE
    if gold is None:
        return Shape.UNKNOWN
    text = normal(gold[:MAX_ANSWER_CHARS])
    if _SEPARATED.search(text):
        return Shape.LIST
    words = text.casefold() == "no" or (_WORD.search(text) and not _MATHS.search(text))
    return Shape.WORDS if words else Shape.VALUE
