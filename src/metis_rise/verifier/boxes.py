r"""Finding balanced \boxed{...} in one pass over the text, whatever the text."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(r"\\boxed[ \t\n]{0,8}\{|\\[\\{}]|[{}]")


class _Box(NamedTuple):
    """Offsets of a box in its text: the command and the content, each from its first to after its last character."""

    start: int
    end: int
    content_start: int
    content_end: int


def boxes(text: str) -> list[str]:
    r"""The contents of every balanced \boxed{...} in order; of nested boxes the outer one.

    Escaped braces do not count, an unclosed box is no box, and \boxed{\boxed{5}} is \boxed{5}. Linear in `text`.
    """
    opened: list[re.Match[str]] = []
    found: list[_Box] = []
    for token in _TOKEN.finditer(text):
        if token[0] == "}" and opened:
            opening = opened.pop()
            if opening[0] != "{":
                box = _Box(opening.start(), token.end(), opening.end(), token.start())
                inside = []
                while found and found[-1].start > box.start:
                    inside.append(found.pop())
                found.append(_unwrapped(text, box, inside))
        elif token[0].endswith("{") and token[0] != r"\{":
            opened.append(token)
    return [text[box.content_start : box.content_end] for box in found]


def _unwrapped(text: str, box: _Box, inside: list[_Box]) -> _Box:
    """`box`, with the content of the box in it if it holds that one and nothing else."""
    if len(inside) == 1:
        inner = inside[0]
        around = text[box.content_start : inner.start] + text[inner.end : box.content_end]
        if not around.strip():
            return box._replace(content_start=inner.content_start, content_end=inner.content_end)
    return box
