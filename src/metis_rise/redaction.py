"""Keys and passwords that this process knows of, kept out of everything that is shown or written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "***"
# Servers without keys are given a word, such as ollama, lm-studio or EMPTY: to take it out would blot out what is said.
_SHORTEST = 8
_WORD = re.compile(r"[a-z-]+")
_SECRET_NAME = re.compile(
    r"(KEYS?|TOKENS?|SECRETS?|PASS|PASSWORD|PASSWD|PAT|CREDENTIALS?)(_?\d+)?$",
    re.IGNORECASE,
)
# User and password end at the last @ before the host's end, as those who read addresses have it.
_LOGIN = re.compile(r"://([^/?#\s:]*)(?::([^/?#\s]*))?@")
_USER = re.compile(r"(?<=://)[^/\s]+@")
# A token may be in the user's place, where there is no password.
_SHORTEST_TOKEN = 16

# Each secret, and the variable that it was read from.
_known: dict[str, str] = {}


def hide(secret: str, variable: str = "") -> None:
    """From now on `redacted` takes `secret`, the value of the environment variable `variable`, out of texts.

    A short one, or a word of small letters and hyphens, is a placeholder and stays.
    """
    if len(secret) >= _SHORTEST and not _WORD.fullmatch(secret):
        _known.update(dict.fromkeys((secret, json.dumps(secret)[1:-1]), variable))


def hide_environment(environment: Mapping[str, str]) -> None:
    """Hides the variables that are keys or passwords by their names, and passwords within addresses, as of proxies.

    Paths of files that exist are none, whatever the name says.
    """
    for name, value in environment.items():
        found = [value.strip()] if _SECRET_NAME.search(name) else _logins(value)
        for secret in found:
            if not os.path.exists(secret):
                hide(secret, name)


def _logins(text: str) -> Iterator[str]:
    """The password of each address in `text`; without one, a user who looks like a token."""
    for user, password in _LOGIN.findall(text):
        if password:
            yield password
        elif len(user) >= _SHORTEST_TOKEN and any(map(str.isdigit, user)):
            yield user


def variable_in(text: str) -> str | None:
    """The variable of a secret that `text` holds, "" where it is not known, None where it holds none.

    Within a longer word it is none: that may hold anything.
    """
    return next(
        (variable for secret, variable in _known.items() if re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text)), None
    )


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
