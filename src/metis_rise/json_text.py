"""JSON that others wrote: plain, not nested deeper than anything that we do with it can follow."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 64
"""Lists and objects within each other. Python's own limit depends on who calls: what was read could not be written."""


def parse_json(text: str | bytes, *, strict: bool = False) -> Any:
    """The value that `text` holds, in UTF-8 where it is bytes.

    Args:
        text: the whole JSON text.
        strict: refuse NaN and Infinity, which Python writes and JSON does not have.

    Raises:
        ValueError: anything else, among it deeper nesting than `MAX_DEPTH` and numbers of thousands of digits.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant) if strict else json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    brackets = (text.count("["), text.count("{")) if isinstance(text, str) else (text.count(b"["), text.count(b"{"))
    if sum(brackets) > MAX_DEPTH and _deep(value):
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"


def _deep(value: Any) -> bool:
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, list | dict)
        ]
    return bool(level)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
