"""Gold answers: how they are to be compared, and whether they can be."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metis_rise.problems.answers import letter_of, option_letter, read_letters
from metis_rise.types import AnswerType
from metis_rise.verifier.boxes import boxes
from metis_rise.verifier.equivalence import MAX_CHARS
from metis_rise.verifier.kinds.values import Listing, Relation, read_value
from metis_rise.verifier.kinds.words import has_words
from metis_rise.verifier.normal import normal
from metis_rise.verifier.numbers import read_number

_LAST_BARE_LETTER = "J"
_NOT_UNIQUE = re.compile(r"\b(?:answers? (?:may )?var(?:y|ies)|not unique|any correct|or fill in)\b", re.IGNORECASE)
_OPENING = {"}": "{", ")": "([", "]": "(["}


def infer_type(gold: str, choices: Sequence[str] | None = None) -> AnswerType:
    """How a gold answer without a type is compared.

    A choice is one capital letter up to J, or several joined by commas or `and`, or (with `choices`) the letter or the
    text of an option; a number is what reads as one; anything else is text, and so is what `check_gold` finds too long.
    """
    if len(gold) > MAX_CHARS:
        return AnswerType.TEXT
    text = normal(gold)
    letters = read_letters(text, any_case=False)
    last = letter_of(len(choices) - 1) if choices else _LAST_BARE_LETTER
    if letters is not None and max(letters) <= last:
        return AnswerType.CHOICE
    if choices and option_letter(gold, choices) is not None:
        return AnswerType.CHOICE
    return AnswerType.TEXT if read_number(text) is None else AnswerType.NUMBER


def check_gold(gold: str, answer_type: AnswerType, choices: Sequence[str] | None = None) -> str | None:
    """Why no answer can be judged by `gold`, in a few words that name the fault; None where it can be used."""
    text = normal(gold) if len(gold) <= MAX_CHARS else ""
    if len(gold) > MAX_CHARS:
        return f"it has {len(gold)} characters, more than {MAX_CHARS}"
    if not text:
        return "it is empty"
    if len({normal(box) for box in boxes(gold)}) > 1:
        return "it has several different boxes"
    if answer_type is AnswerType.CHOICE:
        return _bad_choice(text, choices)
    fault = _unbalanced(text)
    if fault is not None:
        return fault
    if answer_type is AnswerType.NUMBER and read_number(text) is None:
        return "it is no number"
    return _ambiguous(text)


def _bad_choice(text: str, choices: Sequence[str] | None) -> str | None:
    letters = read_letters(text)
    if letters is None:
        return "it is no option letter" if choices is None or option_letter(text, choices) is None else None
    if choices is not None and max(letters) > letter_of(len(choices) - 1):
        return f"option {max(letters)} is not among the {len(choices)} choices"
    return None


def _ambiguous(text: str) -> str | None:
    if _NOT_UNIQUE.search(text):
        return "it says that other answers are right too"
    value = read_value(text)
    if not isinstance(value, Listing) or "or" not in value.words or has_words(_without_or(text)):
        return None
    # The roots `x = 1 or x = 2` and the set `x < 1 or x > 2` are one answer.
    return None if any(isinstance(item, Relation) for item in value.items) else "it lists alternatives"


def _without_or(text: str) -> str:
    return re.sub(r"(?<![A-Za-z])(?:or|and)(?![A-Za-z])", " ", text)


def _unbalanced(text: str) -> str | None:
    r"""Brackets that do not close, `\left` without its partner, a command without its arguments; `[0, 5)` is fine."""
    opened: list[str] = []
    for bracket in re.findall(r"[(\[{)\]}]", text):
        if bracket not in _OPENING:
            opened.append(bracket)
        elif not opened or opened.pop() not in _OPENING[bracket]:
            return f"its brackets do not match at {bracket!r}"
    if opened:
        return f"its {opened[-1]!r} is not closed"
    missing = re.search(r"\\(frac|sqrt|binom|boxed)(?:$|[ )}\],])", text)
    return None if missing is None else f"its \\{missing[1]} has no argument"
