"""Runs and evaluations keep their settings, so no key may be written out in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from metis_rise.errors import InputError
from metis_rise.redaction import variable_in


def check_no_secret(settings: Mapping[str, Any], what: str) -> None:
    """InputError where `settings` (plain JSON values), `what` for people, hold a key or password of the environment."""
    variable = variable_in(json.dumps(settings, ensure_ascii=False))
    if variable is not None:
        raise InputError(
            f"{what}: holds the value of {variable or 'an environment variable'}, and is kept in a file; take it out: "
            "where a key is needed, give the name of its variable"
        )
