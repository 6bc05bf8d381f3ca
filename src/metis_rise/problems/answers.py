"""Option letters and answer limits that the reader and the verifier must agree on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

MAX_ANSWER_CHARS = 200
"""The reader refuses longer gold answers, and no longer text is taken as an answer as a whole."""

MAX_CHOICES = len(ascii_uppercase)

_LETTER = re.compile(r"\(([A-Za-z])\)|([A-Za-z])[.):]?")
_SEPARATOR = re.compile(r"[,;&]|\band\b")


def letter_of(index: int) -> str:
    """The letter of option `index` (0 is A)."""
    return ascii_uppercase[index]


def read_letters(text: str, *, any_case: bool = True) -> tuple[str, ...] | None:
    """The sorted option letters that `text` consists of, or None if it is anything else.

    Reads `B`, `(B)`, `B.`, `B)` and several letters joined by a comma, a semicolon, `&` or `and`; a choice
    between letters (`A or B`) is no answer. With `any_case=False` a bare letter must be upper case.
    """
    found: set[str] = set()
    for part in _SEPARATOR.split(text):
        match = _LETTER.fullmatch(part.strip())
        if match is None:
            return None
        letter = match[1] or match[2]
        if not any_case and match[2] is not None and not letter.isupper():
            return None
        found.add(letter.upper())
    return tuple(sorted(found))


def option_letter(text: str, choices: Sequence[str]) -> str | None:
    """The letter of the only option whose text is `text` (case and spacing aside), or None."""
    wanted = _fold(text)
    matches = [letter_of(index) for index, choice in enumerate(choices) if _fold(choice) == wanted]
    return matches[0] if len(matches) == 1 else None


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())
