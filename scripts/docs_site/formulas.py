"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network.

Written as GitHub reads them too: a fence of the language `math`, and $`...`$ inside a line.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as etree
from typing import Any

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

# Before backticks (190), which would make code of it.
_PRIORITY = 195


def _fence(text: str, language: str, css_class: str, options: dict[str, Any], md: Markdown, **more: Any) -> str:
    """What superfences puts in the place of a fence: see its documentation of custom fences."""
    del language, css_class, options, md, more
    return f'<div style="overflow-x: auto">{convert(text, display="block")}</div>'


FENCE = {"name": "math", "class": "formula", "format": _fence}
"""An entry of superfences' custom_fences."""


class _Processor(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[etree.Element | str, int, int]:
        del data
        return self.md.htmlStash.store(convert(m.group(1))), m.start(0), m.end(0)


class Inline(Extension):
    """The markdown extension for $`...`$."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Called by markdown."""
        md.inlinePatterns.register(_Processor(r"\$`([^`]+)`\$", md), "inline-formula", _PRIORITY)
