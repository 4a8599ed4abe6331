"""The base of every specification: immutable, unknown fields refused, and bad values answered with one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from raytune_playbook.errors import SpecError

_T = TypeVar("_T")


def plain(value: _T) -> _T:
    """numpy's scalars as Python's own: else pydantic would turn a numpy integer into a float."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def storable(value: _T) -> _T:
    """As `plain`, but for whole numbers that no table holds.

    Raises:
        ValueError: it is such a number.
    """
    given = plain(value)
    if isinstance(given, int) and not -(2**63) <= given < 2**63:
        raise ValueError("whole numbers are from -2^63 to 2^63 - 1")
    return given


Whole: TypeAlias = Annotated[int, BeforeValidator(storable)]

Number: TypeAlias = Annotated[int | float, BeforeValidator(storable)]

Value: TypeAlias = Annotated[bool | int | float | str | None, BeforeValidator(storable)]
"""A hyperparameter's value: what JSON can hold as it is, and a column of a table."""


class FrozenSpec(BaseModel):
    """An immutable specification that refuses unknown fields.

    Raises:
        SpecError: a field is missing, unknown or has a wrong value; the message names it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, **fields: object) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SpecError(_sentence(type(self).__name__, error)) from None
        except TypeError as error:
            if "__init__() " not in str(error):
                raise
            # A dict in place of what has an `__init__` of its own, which pydantic calls with what is in the dict.
            raise SpecError(f"{type(self).__name__} holds what is not complete ({error}); correct it.") from None

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """What a stored document says.

        Raises:
            SpecError: it is no JSON object with these fields.
        """
        try:
            fields = json.loads(content)
        except (ValueError, RecursionError) as error:  # the latter where it is nested without end
            raise SpecError(f"{cls.__name__} is stored as JSON, but this is none ({error}); restore it.") from None
        if not isinstance(fields, dict):
            raise SpecError(f"{cls.__name__} is stored as a JSON object, but this is another value; restore it.")
        return cls(**fields)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, checked as a new one would be: pydantic's own copy checks nothing."""
        copied = super().model_copy(deep=deep)
        fields = {name: getattr(copied, name) for name in type(self).model_fields}
        return type(self)(**fields | dict(update or {}))


_UNION_MEMBERS = ("bool", "int", "float", "str")


def _sentence(owner: str, error: ValidationError) -> str:
    errors = error.errors(include_url=False)
    first = errors[0]
    loc, rule = first["loc"], first["msg"].removeprefix("Value error, ")
    if loc and loc[-1] in _UNION_MEMBERS:  # a `Value` or `Number` that is none of its types: one error for each
        loc = loc[:-1]
        kin = [other for other in errors if other["loc"][:-1] == loc]
        types = " or ".join(str(other["loc"][-1]) for other in kin)
        finite = [other["msg"] for other in kin if other["type"] == "finite_number"]
        rule = finite[0] if finite else f"input should be of type {types}"
    field = ".".join(str(part) for part in loc)
    if first["type"] == "extra_forbidden":
        return f"{owner} has no field {field!r}; see help({owner}) for the fields that it has."
    if first["type"] == "missing":
        return f"{owner} needs a value for {field!r}; give one."
    where = f"{owner}.{field}" if field else owner
    return f"{where}: {rule[0].lower() + rule[1:]}, but got {first['input']!r}; correct it."
