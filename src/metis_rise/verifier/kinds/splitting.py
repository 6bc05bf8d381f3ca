"""Cutting a text at what stands outside its brackets."""

from __future__ import annotations

import re

_BRACKETS = {"(": ")]", "[": ")]", "{": "}"}


def outside(pattern: str) -> re.Pattern[str]:
    """A pattern for `pieces`: brackets, and `pattern` as the separator."""
    return re.compile(rf"(?P<bracket>[(\[{{}})\]])|(?P<separator>{pattern})")


def pieces(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """`text` cut at the separators outside brackets, and these separators; brackets of all kinds count alike."""
    parts, cuts, level, start = [], [], 0, 0
    for match in separator.finditer(text):
        if match["bracket"]:
            level += 1 if match["bracket"] in _BRACKETS else -1
        elif level == 0:
            parts.append(text[start : match.start()].strip())
            cuts.append(match["separator"].strip())
            start = match.end()
    return [*parts, text[start:].strip()], cuts


def enclosed(text: str) -> tuple[str, str] | None:
    r"""The brackets around the whole of `text` and what is in them, or None.

    The brackets are two characters; `\{1\}` and `{1}` give `{}`. `[0, 5)` and `(0, 5]` are enclosed too.
    """
    opening = text.removeprefix("\\")[:1]
    if opening not in _BRACKETS or len(text) < 2 or text[-1] not in _BRACKETS[opening]:
        return None
    level = 0
    for index, character in enumerate(text):
        level += (character in "([{") - (character in ")]}")
        if level == 0 and character in ")]}" and index < len(text) - 1:
            return None
    inside = text[text.index(opening) + 1 : -1].removesuffix("\\")
    return (opening + text[-1], inside.strip()) if level == 0 else None
