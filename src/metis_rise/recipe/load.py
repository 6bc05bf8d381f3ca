"""From a name or a file, and overrides, to a recipe."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metis_rise.errors import InputError
from metis_rise.recipe.faults import describe
from metis_rise.recipe.root import Recipe
from metis_rise.recipe.yaml_text import parse_yaml

_SUFFIXES = (".yaml", ".yml", ".json")
_LONGEST_SHOWN = 120


def shipped_recipes() -> dict[str, str]:
    """The recipes inside the package: name -> YAML text, sorted by name."""
    folder = files("metis_rise") / "recipes"
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {Path(e.name).stem: e.read_text(encoding="utf-8") for e in entries if e.name.endswith(_SUFFIXES)}


def shipped_recipe(name: str) -> str:
    """YAML text of the shipped recipe `name`.

    Raises:
        InputError: there is none of that name; the message lists those that are there.
    """
    texts = shipped_recipes()
    if name not in texts:
        close = difflib.get_close_matches(name, texts, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        shipped = ", ".join(texts)
        raise InputError(f"{name}: no such recipe; {hint}shipped: {shipped}; a file of yours must end in .yaml")
    return texts[name]


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a shipped name or a YAML file, with `overrides` such as "rl.group_size=16" applied.

    Args:
        name_or_path: a shipped name, or a path that ends in .yaml, .yml or .json, such as recipe.json of a run.
        overrides: KEY=VALUE with a dotted key and a YAML value; list items go by number (sft.stages.0.epochs=3).

    Raises:
        InputError: an unreadable file, bad YAML, an unknown key or a wrong value; one line per fault.
    """
    where, text = _read(name_or_path)
    raw = parse_yaml(text, where)
    if not isinstance(raw, dict):
        raise InputError(f"{where}: must be a mapping of recipe keys; see one with: rise recipes tiny")
    origin = {key: f"override {_shown(override)}" for override in overrides for key in [_apply(raw, override)]}
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise InputError(describe(error, origin, where)) from error


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Every field of `recipe` as plain JSON values, nulls kept; a Recipe can be made from it again."""
    return recipe.model_dump(mode="json")


def _read(name_or_path: str) -> tuple[str, str]:
    if not name_or_path.endswith(_SUFFIXES):
        return f"{name_or_path}.yaml", shipped_recipe(name_or_path)
    try:
        return name_or_path, Path(name_or_path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name_or_path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{name_or_path}: cannot read the recipe: {error.strerror}") from error


def _apply(raw: dict[str, Any], override: str) -> str:
    """Set one override in `raw` and return its dotted key."""
    key, equals, text = override.partition("=")
    if not (equals and key):
        raise InputError(f"override {_shown(override)}: must be KEY=VALUE, such as rl.group_size=16")
    value = parse_yaml(text, f"override {_shown(override)}")
    *parents, last = key.split(".")
    target: Any = raw
    for parent in parents:
        target = target.setdefault(parent, {}) if isinstance(target, dict) else _item(target, parent, override)
    if isinstance(target, dict):
        target[last] = value
    else:
        _item(target, last, override)
        target[int(last)] = value
    return key


def _item(target: Any, index: str, override: str) -> Any:
    if not isinstance(target, list):
        raise InputError(f"override {_shown(override)}: the key before {index!r} holds a single value, not a section")
    if not (index.isdecimal() and int(index) < len(target)):
        raise InputError(f"override {_shown(override)}: {index!r} must be an item number from 0 to {len(target) - 1}")
    return target[int(index)]


def _shown(override: str) -> str:
    return override if len(override) <= _LONGEST_SHOWN else f"{override[: _LONGEST_SHOWN - 3]}..."
