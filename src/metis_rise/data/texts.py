"""Questions in one form, so that spelling does not hide that two are the same."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from metis_rise.problems.prompt import without_markers

_COMMANDS = re.compile(r"\\(?:left|right|text|textbf|mathrm|mathbf|displaystyle|quad|,|;|!)(?![a-z])")
# Signs that carry meaning stay: without them 2n+1 would be 2n-1.
_KEPT = frozenset("+-*/=<>^%|")
_IMAGE = re.compile(r"\bimage [0-9]{1,3}\b|\bimage\b")


def normal(text: str) -> str:
    """`text` in lower case without blanks, punctuation, picture markers and LaTeX's layout."""
    plain = unicodedata.normalize("NFKC", without_markers(text)).casefold()
    bare = _COMMANDS.sub("", _IMAGE.sub("", plain))
    return "".join(sign for sign in bare if sign.isalnum() or sign in _KEPT)


def digest(*parts: str) -> bytes:
    """16 bytes that stand for texts; equal for equal ones."""
    joined = "\x1f".join(part.replace("\x1f", " ") for part in parts)
    return hashlib.blake2b(joined.encode("utf-8", "replace"), digest_size=16).digest()
