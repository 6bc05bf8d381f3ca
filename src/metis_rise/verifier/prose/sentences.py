"""Sentences and formulas of a text, found in its last part only, so that reading stays linear."""

from __future__ import annotations

import re

MAX_TAIL = 2_000
"""Characters from the end in which an answer is looked for."""

FORMULA = re.compile(
    r"\$\$(?P<double>[^$]{1,400})\$\$"
    r"|\$(?P<single>[^$\n]{1,400})\$(?!\d)"
    r"|\\\((?P<round>.{1,400}?)\\\)"
    r"|\\\[(?P<square>.{1,400}?)\\\]",
    re.DOTALL,
)
r"""A formula between $$, $, \( \) or \[ \]; `formula_of` tells prices from formulas."""

SENTENCE_END = re.compile(r"[.!?](?=[*\"')]{0,4}(?:\s|$))|[\u3002\uff01\uff1f]|\n")
_STOPPED = re.compile(r"[.!?][*\"')]{0,4}\s|\n")
_PLEASANTRY = re.compile(
    r"(?:i\s+hope\b|hope\s+(?:this|that|it)\b|(?:please\s+)?(?:let\s+me|feel\s+free)\b|if\s+you\s+(?:have|need)\b|thank"
    r"|this\s+(?:answer\s+)?is\s+(?:correct|right|consistent)\b)",
    re.IGNORECASE,
)
_PRICE = re.compile(r"\s|.*\s$", re.DOTALL)
_FORMAL = re.compile(r"[\\=^_<>{}]")


def formula_of(match: re.Match[str]) -> str | None:
    """The content of a match of `FORMULA`, or None where two dollar signs only stand before prices."""
    content = str(match[str(match.lastgroup)])
    if match.lastgroup == "single" and _PRICE.match(content) and not _FORMAL.search(content):
        return None
    return content.strip()


def last_sentences(text: str) -> list[str]:
    """The sentences of the last part of `text`, last one first, without closing pleasantries and bold marks.

    A formula over several lines is in one sentence.
    """
    tail = FORMULA.sub(lambda match: match[0].replace("\n", " "), text[-MAX_TAIL:]).replace("**", "")
    sentences: list[str] = []
    start = 0
    for stop in _STOPPED.finditer(tail):
        sentences.append(tail[start : stop.end()].strip())
        start = stop.end()
    sentences.append(tail[start:].strip())
    found = [sentence for sentence in reversed(sentences) if sentence]
    while len(found) > 1 and _PLEASANTRY.match(found[0]):
        found.pop(0)
    return found


def last_sentence(text: str) -> str:
    """The first of `last_sentences`, "" where there is none."""
    return next(iter(last_sentences(text)), "")
