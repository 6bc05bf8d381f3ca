"""What is said to a server and what it says: keys, bodies, the message of an error."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import httpx2

from metis_rise.errors import InputError
from metis_rise.recipe.base import is_variable
from metis_rise.redaction import hide


def read_key(name: str) -> str:
    """The key in the environment variable `name`; InputError when it is not set or cannot be sent."""
    if not is_variable(name):
        raise InputError(
            "the name given for a key's environment variable is no such name; give the name, and not the key itself"
        )
    # A line's end that came along from a file would be refused in a header, by an error that shows the whole key.
    key = os.environ.get(name, "").strip()
    if not (key and key.isascii() and key.isprintable()):
        raise InputError(f"the environment variable {name} is not set, or is no server's key: one line of plain ASCII")
    hide(key, name)
    return key


def content_of(body: Mapping[str, Any] | None) -> bytes | None:
    """A body as it is sent."""
    return None if body is None else json.dumps(body).encode()


def message_of(response: httpx2.Response) -> str:
    """What an error reply says: the message of vLLM's and OpenAI's error objects, else the text."""
    try:
        said = json.loads(response.content)
    except ValueError:
        return response.text
    error = said.get("error", said) if isinstance(said, dict) else said
    return str(error["message"] if isinstance(error, dict) and "message" in error else error)
