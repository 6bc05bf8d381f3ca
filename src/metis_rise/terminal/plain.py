"""Text of others on the terminal: a model's answer must not be able to move the cursor, or colour what follows."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """`text` with every control character but line feed and tab replaced by a visible sign."""
    return _BIDI.sub("\ufffd", _CONTROL.sub(lambda found: _visible(found[0]), text))


def one_line(text: str, most: int = 200) -> str:
    """`text` on one line of at most `most` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _visible(sign: str) -> str:
    return chr(0x2400 + ord(sign)) if ord(sign) < 0x20 else "\ufffd"
