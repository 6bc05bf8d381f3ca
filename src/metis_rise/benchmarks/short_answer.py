r"""DynaMath's answers: the key `short answer` of a JSON object, and what its authors make of the value."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction

from metis_rise.types import AnswerType
from metis_rise.verifier.kinds.quantities import read_quantity
from metis_rise.verifier.kinds.singles import value_of
from metis_rise.verifier.normal import normal

TOLERANCE = Fraction(1, 1000)
"""How far a number may be from the gold answer, both sides included (DynaMath, VLMEvalKit dynamath)."""

_LETTERS = "ABCDE"
_KEY = re.compile(r"""["']short[ _]answer["']\s*:\s*""", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r'([^\n}]*?)\s*(?:,\s*"|[\n}]|\Z)')
# Halves of a surrogate pair are no text.
_UNICODE = re.compile(r"\\u(?![dD][89a-fA-F])([0-9a-fA-F]{4})")


def find_short_answer(text: str) -> str | None:
    r"""The value of the last `"short answer"` key of a response, whether or not its JSON is valid.

    Unlike the authors' reader it takes numbers, keeps the backslashes of LaTeX, and passes over a faulty `solution`.
    Only what follows </think> counts, where that is anything.
    """
    outside = text.rpartition("</think>")[2]
    text = outside if outside.strip() else text
    keys = list(_KEY.finditer(text))
    if not keys:
        return None
    quoted = _QUOTED.match(text, keys[-1].end())
    if quoted is not None:
        plain = _UNICODE.sub(lambda match: chr(int(match[1], 16)), quoted[1])
        return plain.replace(r"\"", '"').replace("\\\\", "\\").strip()
    bare = _BARE.match(text, keys[-1].end())
    value = "" if bare is None else bare[1].strip(" \t\"',")
    return None if value in ("", "null") else value


def within_tolerance(gold: str, answer: str) -> bool | None:
    """Whether two numbers are at most `TOLERANCE` apart; None where one of both is no number.

    A unit of the answer is passed over; a percent sign may be worked in.
    """
    wanted = value_of(normal(gold))
    text = normal(answer)
    given = value_of(text) or value_of(read_quantity(text).body)
    if wanted is None or given is None:
        return None
    values = (given.value, given.value / 100) if given.percent else (given.value,)
    return any(abs(value - wanted.value) <= TOLERANCE for value in values)


def authors_extraction(text: str, kind: AnswerType) -> str | None:
    """What VLMEvalKit's reader takes before it asks a judge: the short answer, else the whole response.

    None where neither has a readable answer of this kind.
    """
    cut = json_part(text)
    value = _short_answer(cut)
    if value is not None and typed(value, kind) is not None:
        return value
    return cut if typed(cut, kind) is not None else None


def json_part(text: str) -> str:
    """A response from its first brace to its last one, whole where there are none, without backslashes."""
    start, end = text.find("{"), text.rfind("}")
    return (text[start : end + 1] if 0 <= start < end else text).replace("\\", "")


def typed(answer: str, kind: AnswerType) -> float | str | None:
    """An extracted answer as VLMEvalKit's `parse_answer` reads it; None where it is not of its kind.

    A number is the first word, with what stands before π times π; a choice is one character, else the only letter
    from A to E anywhere in the answer; a text is itself.
    """
    if kind is AnswerType.NUMBER:
        return _number(answer)
    if kind is AnswerType.TEXT:
        return answer
    if len(answer) == 1:
        return answer.upper()
    letters = [letter for letter in _LETTERS if letter in answer.upper()]
    return letters[0] if len(letters) == 1 else None


def _short_answer(text: str) -> str | None:
    try:
        found = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    value = found.get("short answer") if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


def _number(answer: str) -> float | None:
    word = answer if answer.isdigit() else answer.split(" ")[0]
    before, pi, _ = word.partition("\u03c0")
    try:
        return float(before) * (math.pi if pi else 1.0)
    except ValueError:
        return None
