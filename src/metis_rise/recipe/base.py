"""What every part of a recipe shares: no unknown keys, no silent conversions, no change after reading."""

from __future__ import annotations

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
    except ValueError:
        whole = False
    if not whole:
        allowed = "an address such as http://host:8000, with no / at its end"
        raise PydanticCustomError("address", "must be {allowed}", {"allowed": allowed})
    return value


# Where a server is: what its paths are put behind.
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]\S*$"), AfterValidator(_address)]
