"""Options that stand at the end of a question, as in `Is it even? Choices: (A) yes (B) no`."""

from __future__ import annotations

import re

from metis_rise.problems.answers import MAX_CHOICES, letter_of, read_letters

_MARKER = re.compile(r"(?<![A-Za-z0-9(])(?:\(([A-Z])\)|([A-Z])\))")
_HEADING = re.compile(r"\s*\b(?:choices?|options?)\s*:?\s*$", re.IGNORECASE)
# What a question ends with where a list of options begins; "points (A) and (B)" is none.
_ENDED = re.compile(r"(?:[.?!:]|\bselect\b[^.?!:]*|\b(?:choices?|options?))$", re.IGNORECASE)
_SENTENCE_AFTER = re.compile(r"[.?!]\s+\S")


def split_options(question: str, gold: str) -> tuple[str, tuple[str, ...] | None]:
    """The question without its options, and their texts.

    The question as it is, and None, where it does not end with filled-in options from A on, in order, of which `gold`
    (a letter, or letters joined by ", ") names some.
    """
    markers = list(_MARKER.finditer(question))
    letters = [match[1] or match[2] for match in markers]
    if not 2 <= len(letters) <= MAX_CHOICES or letters != [letter_of(index) for index in range(len(letters))]:
        return question, None
    stem = question[: markers[0].start()].rstrip()
    ends = [match.start() for match in markers[1:]] + [len(question)]
    texts = [question[match.end() : end].strip(" \t\r\n,;") for match, end in zip(markers, ends, strict=True)]
    named = read_letters(gold) or ()
    if not all(texts) or not named or not set(named) <= set(letters):
        return question, None
    if not _ENDED.search(stem) or _SENTENCE_AFTER.search(texts[-1]):
        return question, None
    return _HEADING.sub("", stem), tuple(texts)
