r"""Finding balanced \boxed{...} in one pass over the text, whatever the text."""

from __future__ import annotations

import re
from typing import NamedTuple

# A box that a reader would not see, or would see crossed out, is no answer.
_TOKEN = re.compile(
    r"\\(?:(?P<box>boxed)|(?P<hidden>[hv]?phantom|[bx]?cancel|sout))[ \t\n]{0,8}\{|\\[\\{}]|[{}]",
)


class Box(NamedTuple):
    """Offsets of a box in its text: the command and the content, each from its first to after its last character."""

    start: int
    end: int
    content_start: int
    content_end: int


def boxes(text: str) -> list[str]:
    r"""The contents of every balanced \boxed{...} in order; of nested boxes the outer one.

    Escaped braces do not count, an unclosed box is no box, and \boxed{\boxed{5}} is \boxed{5}. A box inside
    \phantom{} or \cancel{} is none. Linear in `text`.
    """
    return [text[box.content_start : box.content_end] for box in find_boxes(text)]


def find_boxes(text: str) -> list[Box]:
    """Where the boxes are whose contents `boxes` gives."""
    opened: list[re.Match[str]] = []
    found: list[Box] = []
    for token in _TOKEN.finditer(text) if "\\boxed" in text else ():
        if token[0] == "}" and opened:
            opening = opened.pop()
            if opening.lastgroup is None:
                continue
            inside = []
            while found and found[-1].start > opening.start():
                inside.append(found.pop())
            if opening.lastgroup == "box":
                box = Box(opening.start(), token.end(), opening.end(), token.start())
                found.append(_unwrapped(text, box, inside))
        elif token[0].endswith("{") and token[0] != r"\{":
            opened.append(token)
    return found


def _unwrapped(text: str, box: Box, inside: list[Box]) -> Box:
    """`box`, with the content of the box in it if it holds that one and nothing else."""
    if len(inside) == 1:
        inner = inside[0]
        around = text[box.content_start : inner.start] + text[inner.end : box.content_end]
        if not around.strip():
            return box._replace(content_start=inner.content_start, content_end=inner.content_end)
    return box
