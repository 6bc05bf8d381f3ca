"""The reference of recipes, from the pydantic models: every key with its type, default and docstring."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docs_site.pages import linked
from metis_rise.recipe import MAY_CHANGE, Recipe, resolved, shipped_recipes

Schema = Mapping[str, Any]

_HEAD = "| key | value | default | meaning |\n|---|---|---|---|\n"
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "array": "list",
}


def reference() -> str:
    """All sections, then the shipped recipes in full."""
    schema = Recipe.model_json_schema()
    # The schema has no defaults of fields that are made by a function.
    least: dict[str, Any] = {"name": "x", "problems": {"kind": "world"}}
    made = resolved(Recipe.model_validate(least))
    sections = "\n".join(_section(schema, schema["$defs"], "", made))
    shipped = [f"### `{name}`\n\n```yaml\n{text}```\n" for name, text in shipped_recipes().items()]
    return f"{sections}\n## Shipped recipes\n\n" + "\n".join(shipped)


def _section(part: Schema, known: Schema, prefix: str, made: Mapping[str, Any]) -> Iterator[str]:
    """A part's table, then its own parts, each with a heading."""
    title = f"`{prefix.rstrip('.')}`" if prefix else "The whole"
    yield f"## {title}\n\n{linked(part['description'])}\n"
    inner = {name: _part_of(field, known) for name, field in part["properties"].items()}
    rows = [_row(name, part, known, prefix, made) for name, found in inner.items() if found is None or _listed(found)]
    if rows:
        yield _HEAD + "\n".join(rows) + "\n"
    for name, found in inner.items():
        if found is not None:
            kind, schema = found
            each = f"{prefix}{name}.N." if kind == "list" else f"{prefix}{name}."
            yield from _section(schema, known, each, made[name] if kind == "part" else {})


def _part_of(field: Schema, known: Schema) -> tuple[str, Schema] | None:
    """("part", "optional" or "list", its schema) where a field holds parts of the recipe, else None."""
    options = field.get("anyOf", [field])
    for kind, candidates in (
        ("optional" if len(options) > 1 else "part", options),
        ("list", [option["items"] for option in options if "items" in option]),
    ):
        for candidate in candidates:
            if "$ref" in candidate:
                return kind, known[candidate["$ref"].rpartition("/")[2]]
    return None


def _listed(found: tuple[str, Schema]) -> bool:
    """Whether a part has a row of its own: where it may be left out, or be there several times."""
    return found[0] != "part"


def _row(name: str, part: Schema, known: Schema, prefix: str, made: Mapping[str, Any]) -> str:
    field = part["properties"][name]
    key = f"{prefix}{name}"
    again = " ↻" if key.replace(".N.", ".") in MAY_CHANGE else ""
    found = _part_of(field, known)
    value = _value(field) if found is None else {"list": "list of parts", "optional": "part, or null"}[found[0]]
    required = name in part.get("required", ())
    default = "must be given" if required else f"`{_default(field.get('default', made.get(name)))}`"
    meaning = linked(" ".join(field["description"].split()))
    return " | ".join(["", f"`{name}`{again}", *(_cell(text) for text in (value, default, meaning)), ""]).strip()


def _default(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return ", ".join(str(item["name"]) for item in value)
    return json.dumps(value, ensure_ascii=False)


def _value(field: Schema) -> str:
    """What a field takes, in words."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_value(option) for option in field["anyOf"]))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    words = _WORDS[field["type"]]
    bounds = [f"{sign} {field[key]}" for key, sign in _BOUNDS.items() if key in field]
    if "items" in field:
        return f"{words}: {_value(field['items'])}"
    if "prefixItems" in field:
        return f"{words} of {len(field['prefixItems'])}: {_value(field['prefixItems'][0])}"
    return f"{words} {', '.join(bounds)}".strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
