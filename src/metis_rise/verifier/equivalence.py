"""Whether an answer means the same as the gold answer.

The comparison is a short list of rules on normalised text. A symbolic checker fits in as a further rule of
`_RULES`: a function of two normalised texts that says why they are the same, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from metis_rise.problems.answers import MAX_ANSWER_CHARS, MAX_CHOICES, letter_of, read_letters
from metis_rise.types import AnswerType
from metis_rise.verifier.normal import folded, normal
from metis_rise.verifier.numbers import read_number, same_number

_OPTION_WORD = re.compile(r"(?:option|choice)\s+(?=\(?[A-Za-z]\)?(?![A-Za-z]))", re.IGNORECASE)
_LETTER_AND_TEXT = re.compile(r"\(?([A-Za-z])[).:]\s*(\S.*)", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z]{1,3} ?= ?(?P<value>[^=<>]+)")
_AND = re.compile(r",? and ")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_MAX_DEPTH = 3


def equivalent(
    gold: str, answer: str, answer_type: AnswerType, choices: Sequence[str] | None = None
) -> tuple[bool, str]:
    """Whether `answer` means `gold`, and the rule that decided.

    Answers over 200 characters are never equal. `gold` of a choice is a letter, or letters joined by ", ".
    """
    if len(answer) > MAX_ANSWER_CHARS or len(gold) > MAX_ANSWER_CHARS:
        return False, f"longer than {MAX_ANSWER_CHARS} characters"
    if answer_type is AnswerType.CHOICE:
        return _same_choice(gold, answer, choices)
    return _same_value(normal(gold), normal(answer), 0)


def _same_choice(gold: str, answer: str, choices: Sequence[str] | None) -> tuple[bool, str]:
    wanted = read_letters(gold)
    text = _OPTION_WORD.sub("", normal(answer), count=1)
    given = read_letters(text)
    if given is not None and (given == wanted or len(given) == 1):
        return given == wanted, "option letter"
    options = {} if choices is None else {letter_of(i): normal(c) for i, c in enumerate(choices[:MAX_CHOICES])}
    labelled = _LETTER_AND_TEXT.fullmatch(text)
    if labelled and not options:
        return (labelled[1].upper(),) == wanted, "option letter with text"
    if labelled and labelled[1].upper() in options and _same_value(options[labelled[1].upper()], labelled[2], 0)[0]:
        return (labelled[1].upper(),) == wanted, "option letter with its text"
    matches = tuple(letter for letter, option in options.items() if folded(option) == folded(text)) or tuple(
        letter for letter, option in options.items() if _same_value(option, text, 0)[0]
    )
    if len(matches) == 1:
        return matches == wanted, "option text"
    return False, "fits several options" if matches else "no option"


def _same_value(gold: str, answer: str, depth: int) -> tuple[bool, str]:
    if not gold or not answer:
        return False, "empty"
    for rule in _RULES:
        same = rule(gold, answer, depth)
        if same is not None:
            return same
    return False, "different"


def _numbers(gold: str, answer: str, depth: int) -> tuple[bool, str] | None:
    """Decides whenever both are numbers."""
    wanted, given = read_number(gold), read_number(answer)
    return None if wanted is None or given is None else (same_number(wanted, given), "number")


def _texts(gold: str, answer: str, depth: int) -> tuple[bool, str] | None:
    return (True, "text") if folded(gold) == folded(answer) else None


def _assignments(gold: str, answer: str, depth: int) -> tuple[bool, str] | None:
    """`x = 3` for a gold of `3`, or the other way round."""
    sides = [_ASSIGNMENT.fullmatch(text) for text in (gold, answer)]
    if depth > _MAX_DEPTH or (sides[0] is None) == (sides[1] is None):
        return None
    values = [text if side is None else side["value"].strip() for side, text in zip(sides, (gold, answer), strict=True)]
    same, why = _same_value(values[0], values[1], depth + 1)
    return same, f"assignment, {why}"


def _tuples(gold: str, answer: str, depth: int) -> tuple[bool, str] | None:
    """Element by element, in order; round brackets around a list may be left out, others must be the same."""
    (wanted_brackets, wanted), (given_brackets, given) = _elements(gold), _elements(answer)
    if depth > _MAX_DEPTH or len(wanted) != len(given) or (len(wanted) == 1 and not wanted_brackets):
        return None
    if wanted_brackets != given_brackets and {wanted_brackets, given_brackets} != {"", "()"}:
        return False, "other brackets"
    same = all(_same_value(w, g, depth + 1)[0] for w, g in zip(wanted, given, strict=True))
    return same, "element by element"


_RULES: tuple[Callable[[str, str, int], tuple[bool, str] | None], ...] = (_numbers, _texts, _assignments, _tuples)


def _elements(text: str) -> tuple[str, list[str]]:
    """The brackets around `text` ("" if there are none) and what its top-level commas (or ` and `) separate."""
    brackets = ""
    text = _AND.sub(",", text)
    if text[0] in _BRACKETS and text[-1] in ")]" and len(_split(text)) == 1 and not _closes_early(text):
        brackets = text[0] + text[-1]
        text = text[1:-1]
    return brackets, [part.strip() for part in _split(text)]


def _split(text: str) -> list[str]:
    """`text` at its commas and semicolons outside brackets; brackets of all kinds count alike, as in [0, 5)."""
    parts, level, start = [], 0, 0
    for index, character in enumerate(text):
        level += (character in "([{") - (character in ")]}")
        if character in ",;" and level == 0:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _closes_early(text: str) -> bool:
    """Whether the bracket that opens `text` closes before its end, as in (1)(2)."""
    level = 0
    for index, character in enumerate(text):
        level += (character in "([{") - (character in ")]}")
        if level == 0:
            return index < len(text) - 1
    return True
