"""Pydantic's findings as lines for people: dotted key, value, what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from metis_rise.recipe.base import SECRET, Part
from metis_rise.recipe.root import Recipe
from metis_rise.redaction import HIDDEN

_LONGEST_VALUE = 60
_ITEM = re.compile(r"\.\d+(?=\.|$)")


def describe(error: ValidationError, origin: Mapping[str, str], default: str) -> str:
    """One line per fault.

    Args:
        error: what pydantic found in a recipe.
        origin: where a dotted key was set, for keys that an override set.
        default: where all other keys were set (the file's name).
    """
    found = error.errors(include_url=False)
    places = [detail["loc"] for detail in found]
    # A list with a wrong item is also reported as too short; the item says it better.
    inner = [d for d in found if not any(len(p) > len(d["loc"]) and p[: len(d["loc"])] == d["loc"] for p in places)]
    if any(detail["type"] == SECRET for detail in found):
        # An override may hold it too.
        origin = {key: f"override {key}" for key in origin}
    return "\n".join(_line(detail, origin, default) for detail in inner)


def known_keys() -> list[str]:
    """Every dotted key that a recipe may hold, sections included; list items are called 0."""
    return [key for key, _ in _walk(Recipe, "")]


def described_keys() -> dict[str, str]:
    """What every dotted key means, in one line; keys as `known_keys` has them."""
    return {key: " ".join(meaning.split()) for key, meaning in _walk(Recipe, "")}


def _walk(part: type[Part], prefix: str) -> Iterator[tuple[str, str]]:
    """Every key below `part` with its description."""
    for name, field in part.model_fields.items():
        yield prefix + name, field.description or ""
        annotation = field.annotation
        inner = [annotation, *get_args(annotation)]
        for kind in inner:
            if isinstance(kind, type) and issubclass(kind, Part):
                single = kind is annotation or NoneType in inner
                yield from _walk(kind, f"{prefix}{name}." if single else f"{prefix}{name}.0.")


def _line(detail: ErrorDetails, origin: Mapping[str, str], default: str) -> str:
    context = detail.get("ctx", {})
    own = [context["key"]] if detail["type"] == "rule" else []
    key = ".".join([*map(str, detail["loc"]), *own])
    source = next((text for path, text in origin.items() if _related(key, path)), default)
    if detail["type"] == "extra_forbidden":
        return f"{source}: unknown key {_cut(key)}; the nearest known key is {nearest_key(key)}"
    if detail["type"] == "missing":
        return f"{source}: {key} is missing"
    if detail["type"] == SECRET:
        return f"{source}: {key} = {HIDDEN}: {_allowed(detail)}"
    value = context["value"] if own else detail["input"]
    return f"{source}: {key} = {_short(value)}: {_allowed(detail)}"


def _related(key: str, path: str) -> bool:
    """Whether setting `path` set `key`: it is that key, lies around it, or made it as a section on the way."""
    return f"{key}.".startswith(f"{path}.") or path.startswith(f"{key}.")


def nearest_key(key: str) -> str:
    """The known dotted key most like `key`: of the same last name, else of the same section, else of all."""
    asked = _ITEM.sub(".0", key)
    known = known_keys()
    section, _, last = asked.rpartition(".")
    same_name = [k for k in known if k.rpartition(".")[2] == last]
    siblings = [k for k in known if section and k.rpartition(".")[0] == section]
    return difflib.get_close_matches(asked, same_name or siblings or known, n=1, cutoff=0.0)[0]


def _allowed(detail: ErrorDetails) -> str:
    if detail["type"] == "rule":
        return str(detail["ctx"]["allowed"])
    if detail["type"] == "model_type":
        return "must be a section of keys"
    if detail["type"] == "tuple_type":
        return "must be a list"
    if detail["type"] == "string_pattern_mismatch":
        return f"must match {detail['ctx']['pattern']}"
    message = detail["msg"].replace("Input should be", "must be").replace("Tuple should have", "must have")
    return message[:1].lower() + message[1:]


def _short(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."
