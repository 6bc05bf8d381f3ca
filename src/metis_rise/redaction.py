"""Keys that this process has read, kept out of everything that is shown or written."""

from __future__ import annotations

import json

HIDDEN = "***"
# A shorter one would blot out ordinary words, and protects nothing.
_SHORTEST = 6

_known: set[str] = set()


def hide(secret: str) -> None:
    """From now on `redacted` takes `secret` out of texts."""
    if len(secret) >= _SHORTEST:
        _known.update((secret, json.dumps(secret)[1:-1]))


def redacted(text: str) -> str:
    """`text` with `HIDDEN` for every key that was told to `hide`."""
    # The longest first: one key may begin with another.
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
