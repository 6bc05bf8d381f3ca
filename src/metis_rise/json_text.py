"""JSON that others wrote: plain, not nested deeper than anything that we do with it can follow."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

MAX_DEPTH = 64
"""Lists and objects within each other. Python's own limit depends on who calls: what was read could not be written."""

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def parse_json(text: str | bytes, *, strict: bool = False, depth: int = MAX_DEPTH) -> Any:
    """The value that `text` holds, in UTF-8 where it is bytes.

    Args:
        text: the whole JSON text.
        strict: refuse NaN and Infinity, which Python writes and JSON does not have, and a name twice in an object,
            which readers take differently.
        depth: so many lists and objects may be within each other.

    Raises:
        ValueError: anything else, among it deeper nesting than `depth` and numbers of thousands of digits.
    """
    try:
        if not isinstance(text, str):
            text = text.decode(json.detect_encoding(text), "surrogatepass")
        value = _STRICT.decode(text) if strict else json.loads(text)
    except RecursionError:
        raise ValueError(_too_deep(depth)) from None
    if _brackets(text) > depth and _brackets(_STRING.sub("", text)) > depth and _deeper(value, depth):
        raise ValueError(_too_deep(depth))
    return value


def _too_deep(depth: int) -> str:
    return f"nested more than {depth} deep"


def _brackets(text: str) -> int:
    return text.count("[") + text.count("{")


def _deeper(value: Any, depth: int) -> bool:
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(depth):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, list | dict)
        ]
    return bool(level)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:60]!r} is there twice in one object")
    return found


# Made once: json.loads would make one anew for every text.
_STRICT = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_once)
