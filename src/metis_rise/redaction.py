"""Keys and passwords that this process knows of, kept out of everything that is shown or written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
# A shorter one would blot out ordinary words, and protects nothing.
_SHORTEST = 6
# Of what is a secret by its variable's name alone: there are placeholders among these.
_SHORTEST_BY_NAME = 8
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_PASSWORD = re.compile(r"://(?:[^/\s:@]*:)?([^/\s@]+)@")
_USER = re.compile(r"(?<=://)[^/\s@]+@")

# Each secret, and the variable that it was read from.
_known: dict[str, str] = {}


def hide(secret: str, variable: str = "") -> None:
    """From now on `redacted` takes `secret`, the value of the environment variable `variable`, out of texts."""
    if len(secret) >= _SHORTEST:
        _known.update(dict.fromkeys((secret, json.dumps(secret)[1:-1]), variable))


def hide_environment(environment: Mapping[str, str]) -> None:
    """Hides the variables that are keys or passwords by their names, and passwords within addresses, as of proxies.

    Paths of files that exist are none, whatever the name says.
    """
    for name, value in environment.items():
        found = [value.strip()] if _SECRET_NAME.search(name) else _PASSWORD.findall(value)
        for secret in found:
            if len(secret) >= _SHORTEST_BY_NAME and not os.path.exists(secret):
                hide(secret, name)


def variable_in(text: str) -> str | None:
    """The variable of a secret that `text` holds, "" where it is not known, None where it holds none."""
    return next((variable for secret, variable in _known.items() if secret in text), None)


def redacted(text: str) -> str:
    """`text` with `HIDDEN` for every secret that is known, and for who logs in within addresses."""
    # The longest first: one key may begin with another.
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _USER.sub(f"{HIDDEN}@", text) if "://" in text else text


def redacted_values(value: Any) -> Any:
    """Plain JSON values, all texts in them `redacted`."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: redacted_values(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_values(child) for child in value]
    return value
