"""What every part of a recipe shares: no unknown keys, no silent conversions, no change after reading."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

SECRET = "secret"
"""The type of faults whose value may hold a key, and is not shown."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Part(BaseModel):
    """A section of a recipe. The docstring under a field becomes its description."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def fault(key: str, value: Any, allowed: str) -> PydanticCustomError:
    """An error for rules that span several fields.

    Args:
        key: dotted key relative to the section whose validator raises it.
        value: the value found there.
        allowed: what is allowed, as the end of the sentence "KEY = VALUE: ...".
    """
    return PydanticCustomError("rule", "{allowed}", {"key": key, "value": value, "allowed": allowed})


def said(allowed: str) -> WrapValidator:
    """One fault that says what is allowed, where pydantic has one for each member of a union."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("union", "must be {allowed}", {"allowed": allowed}) from None

    return WrapValidator(validate)


def _address(value: str) -> str:
    try:
        found = urlsplit(value)
        whole = bool(found.hostname) and found.port != 0 and not value.endswith("/")
        bare = "@" not in found.netloc and not found.query and not found.fragment
    except ValueError:
        whole, bare = False, True
    if not bare:
        # A run keeps its recipe, and errors name addresses; so the value is not shown here either.
        allowed = "an address without user, password, ? and #; the key belongs in the variable that api_key_env names"
        raise PydanticCustomError(SECRET, "must be {allowed}", {"allowed": allowed})
    if not whole:
        allowed = "an address such as http://host:8000, with no / at its end"
        raise PydanticCustomError("address", "must be {allowed}", {"allowed": allowed})
    return value


def _variable(value: str) -> str:
    if value and not is_variable(value):
        allowed = "the name of an environment variable, not the key itself"
        raise PydanticCustomError(SECRET, "must be {allowed}", {"allowed": allowed})
    return value


def is_variable(name: str) -> bool:
    """Whether `name` can be an environment variable's; most keys cannot."""
    return _VARIABLE.fullmatch(name) is not None


KeyVariable = Annotated[str, AfterValidator(_variable)]
"""Name of the environment variable that holds a key; "" for none."""

# Where a server is: what its paths are put behind.
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]\S*$"), AfterValidator(_address)]
