"""How a run's recipe differs from another one."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from metis_rise.recipe.load import resolved
from metis_rise.recipe.root import Recipe

_ABSENT = "absent"


def compare(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Dotted keys whose values differ in two resolved recipes: (there, here), as JSON text.

    Both may be of older versions: what they have no word for counts as what is the default today.
    """
    old, new = _settings(there), _settings(json.loads(json.dumps(here)))
    pairs = {key: (old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {**old, **new}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def settings(recipe: Mapping[str, Any], but: Collection[str]) -> dict[str, str]:
    """The dotted keys of a resolved recipe with their values as JSON text, `but` some, list items without numbers."""
    return {key: text for key, text in _flat(recipe, "") if not may_differ(key, but)}


def may_differ(key: str, may_change: Collection[str]) -> bool:
    """Whether a dotted key of `compare` is one of `may_change`, which has no numbers of list items."""
    return re.sub(r"\.\d+(?=\.|$)", "", key) in may_change


def _settings(recipe: Mapping[str, Any]) -> dict[str, str]:
    return dict(_flat(_completed(recipe), "")) | dict(_flat(recipe, ""))


def _completed(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the fields that it lacks at their defaults, and without those that are no more; empty where that fails."""
    known = copy.deepcopy(dict(recipe))
    for _ in range(2):
        try:
            return resolved(Recipe.model_validate(known))
        except ValidationError as error:
            for fault in error.errors():
                if fault["type"] == "extra_forbidden":
                    _remove(known, fault["loc"])
    return {}


def _remove(recipe: Any, place: Sequence[int | str]) -> None:
    """Takes out the key at `place`, the keys and list items on the way to it."""
    *parents, last = place
    for parent in parents:
        recipe = recipe[parent]
    del recipe[last]


def _flat(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Dotted keys of all leaves, list items by number, with their JSON text."""
    children: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    if not children and key:
        yield key, json.dumps(value, ensure_ascii=False)
    for name, child in children:
        yield from _flat(child, f"{key}.{name}" if key else str(name))
