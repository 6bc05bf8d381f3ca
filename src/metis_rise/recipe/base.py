"""What every part of a recipe shares: no unknown keys, no silent conversions, no change after reading."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
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
