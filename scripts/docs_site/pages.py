"""What generated pages have in common."""

from __future__ import annotations

import re

_PAGE = re.compile(r"(?<![\w/\[])docs/([\w-]+\.md)")


def linked(text: str) -> str:
    """Text of the program in which names of pages, such as docs/data.md, are links."""
    return _PAGE.sub(r"[\1](\1)", text)
