"""Runs and evaluations keep their settings, so no key may be written out in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from metis_rise.errors import InputError
from metis_rise.redaction import variable_in


def check_no_secret(settings: Mapping[str, Any], what: str) -> None:
    """InputError where `settings` (plain JSON values), `what` for people, hold a key or password of the environment."""
    for text in _texts(settings):
        variable = variable_in(text)
        if variable is not None:
            raise InputError(
                f"{what}: holds the value of {variable or 'an environment variable'}, and is kept in a file; take it "
                "out: where a key is needed, give the name of its variable"
            )


def _texts(value: Any) -> Iterator[str]:
    """All texts in `value` as they are: as JSON, the letter of an escape would stand before what follows it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield name
            yield from _texts(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _texts(child)
