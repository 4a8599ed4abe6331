"""Kinds of hyperparameters, and how each maps the unit interval onto its values.

A search proposes points in the unit cube; `from_unit` turns one coordinate into a value. The mapping is monotone, so
that a point near 0 is near `low`, and a plot on the hyperparameter's own scale is uniform.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from raytune_playbook.errors import SpaceError
from raytune_playbook.study.frozen import FrozenSpec, Number, Value, Whole

Scale: TypeAlias = Literal["linear", "log", "log_one_minus"]
"""``log_one_minus`` is logarithmic in 1 - value: for momentum and the decay rates of Adam, which crowd towards 1."""


Unit: TypeAlias = float | Fraction
"""A coordinate of the unit cube."""


class _Hyperparameter(FrozenSpec):
    """What every kind offers.

    Fields:
        when: the hyperparameter exists only where scientific hyperparameters have these values (rule SD5), such as
            ``{"optimizer": "adam"}`` or ``{"optimizer": ["momentum", "nesterov"]}``; empty for always.
    """

    when: dict[str, tuple[Value, ...]] = Field(default_factory=dict, repr=False)

    @field_validator("when", mode="before")
    @classmethod
    def _one_value_or_several(cls, when: object) -> object:
        if not isinstance(when, Mapping):
            return when
        return {name: tuple(_given(values)) for name, values in when.items()}

    def is_active(self, values: Mapping[str, Value]) -> bool:
        """Whether the hyperparameter exists beside these values of the scientific hyperparameters."""
        return all(
            name in values and any(is_same(values[name], allowed) for allowed in choices)
            for name, choices in self.when.items()
        )

    @abstractmethod
    def from_unit(self, unit: Unit) -> Value:
        """The value at ``unit`` in [0, 1]; few values divide the interval evenly, and exactly."""

    @abstractmethod
    def to_unit(self, value: Value) -> float | None:
        """The inverse: where ``value`` lies in [0, 1], in the middle of what maps to it; None for no value of its."""

    @property
    @abstractmethod
    def num_values(self) -> int | None:
        """How many values there are; None for a continuous range."""


class Float(_Hyperparameter):
    """A real number in [low, high]: ``Float(1e-3, 1.0, scale="log")``.

    Raises:
        SpaceError: unless low < high, and the range suits its scale.
    """

    kind: Literal["float"] = "float"
    low: float
    high: float
    scale: Scale = "linear"

    def __init__(self, low: float, high: float, *, scale: Scale = "linear", **fields: object) -> None:
        FrozenSpec.__init__(self, low=low, high=high, scale=scale, **fields)

    @model_validator(mode="after")
    def _range_can_be_sampled(self) -> Self:
        _check_range("Float", self.low, self.high, self.scale)
        return self

    @property
    def num_values(self) -> None:
        return None

    def from_unit(self, unit: Unit) -> float:
        unit = float(unit)
        match self.scale:
            case "linear":
                value = self.low + unit * (self.high - self.low)
            case "log":
                value = math.exp(_between(math.log(self.low), math.log(self.high), unit))
            case "log_one_minus":
                value = 1.0 - math.exp(_between(math.log1p(-self.low), math.log1p(-self.high), unit))
        return min(max(value, self.low), self.high)

    def to_unit(self, value: Value) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        match self.scale:
            case "linear":
                return (value - self.low) / (self.high - self.low)
            case "log":
                return math.log(value / self.low) / math.log(self.high / self.low)
            case "log_one_minus":
                start, end = math.log1p(-self.low), math.log1p(-self.high)
                return (math.log1p(-value) - start) / (end - start)


class Int(_Hyperparameter):
    """A whole number in low..high, both included: ``Int(1, 8)``, ``Int(16, 1024, scale="log")``.

    Raises:
        SpaceError: unless low < high, and the range suits its scale.
    """

    kind: Literal["int"] = "int"
    low: Whole
    high: Whole
    scale: Literal["linear", "log"] = "linear"

    def __init__(self, low: int, high: int, *, scale: Literal["linear", "log"] = "linear", **fields: object) -> None:
        FrozenSpec.__init__(self, low=low, high=high, scale=scale, **fields)

    @model_validator(mode="after")
    def _range_can_be_sampled(self) -> Self:
        _check_range("Int", self.low, self.high, self.scale)
        return self

    @property
    def num_values(self) -> int:
        return self.high - self.low + 1

    def from_unit(self, unit: Unit) -> int:
        # Each value owns the bin [value, value + 1), on the scale's own axis, so that both ends are reached.
        if self.scale == "linear":
            return self.low + _bin(unit, self.num_values)
        value = math.floor(math.exp(_between(math.log(self.low), math.log(self.high + 1), float(unit))))
        return min(max(value, self.low), self.high)

    def to_unit(self, value: Value) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        if value != int(value):
            return None
        if self.scale == "linear":
            return (value - self.low + 0.5) / self.num_values
        middle = (math.log(value) + math.log(value + 1)) / 2
        return (middle - math.log(self.low)) / (math.log(self.high + 1) - math.log(self.low))


class Discrete(_Hyperparameter):
    """One of a few numbers in rising order: ``Discrete([32, 64, 128])``.

    Raises:
        SpaceError: unless the values are a list and rise strictly.
    """

    kind: Literal["discrete"] = "discrete"
    values: tuple[Number, ...] = Field(min_length=1)

    def __init__(self, values: Iterable[int | float], **fields: object) -> None:
        FrozenSpec.__init__(self, values=_listed("Discrete", values), **fields)

    @model_validator(mode="after")
    def _values_rise(self) -> Self:
        if any(not a < b for a, b in zip(self.values, self.values[1:], strict=False)):
            raise SpaceError(f"Discrete: values must rise strictly, but got {list(self.values)}; sort them, each once.")
        return self

    @property
    def num_values(self) -> int:
        return len(self.values)

    def from_unit(self, unit: Unit) -> int | float:
        return self.values[_bin(unit, len(self.values))]

    def to_unit(self, value: Value) -> float | None:
        return _middle(value, self.values)


class Categorical(_Hyperparameter):
    """One of a few choices without an order: ``Categorical(["device", "sync", "ghost"])``.

    Raises:
        SpaceError: when the choices are no list, or one stands twice.
    """

    kind: Literal["categorical"] = "categorical"
    choices: tuple[Value, ...] = Field(min_length=1)

    def __init__(self, choices: Iterable[Value], **fields: object) -> None:
        FrozenSpec.__init__(self, choices=_listed("Categorical", choices), **fields)

    @model_validator(mode="after")
    def _choices_differ(self) -> Self:
        if len({(type(choice), choice) for choice in self.choices}) < len(self.choices):
            raise SpaceError(f"Categorical: choices must differ, but got {list(self.choices)}; name each once.")
        return self

    @property
    def num_values(self) -> int:
        return len(self.choices)

    def from_unit(self, unit: Unit) -> Value:
        return self.choices[_bin(unit, len(self.choices))]

    def to_unit(self, value: Value) -> float | None:
        return _middle(value, self.choices)


Hyperparameter: TypeAlias = Annotated[Float | Int | Discrete | Categorical, Field(discriminator="kind")]


def finite_values(hyperparameter: Float | Int | Discrete | Categorical) -> tuple[Value, ...] | None:
    """All values in order, or None for a continuous range."""
    match hyperparameter:
        case Float():
            return None
        case Int():
            return tuple(range(hyperparameter.low, hyperparameter.high + 1))
        case Discrete():
            return hyperparameter.values
        case Categorical():
            return hyperparameter.choices


def is_same(one: Value, other: Value) -> bool:
    """Whether two values are one choice: 1 and 1.0 are, True and 1 are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _given(values: object) -> Iterable[object]:
    return values if isinstance(values, list | tuple) else (values,)


def _listed(owner: str, values: Iterable[Value]) -> tuple[Value, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise SpaceError(f"{owner}: a list of values is needed, but got {values!r}; put them in brackets.")
    return tuple(values)


def _bin(unit: Unit, num_bins: int) -> int:
    """Which of so many equal bins of [0, 1] holds ``unit``, in exact arithmetic."""
    return min(math.floor(Fraction(unit) * num_bins), num_bins - 1)


def _middle(value: Value, values: tuple[Value, ...]) -> float | None:
    """The middle of the bin of [0, 1] that belongs to ``value``; None where it is none of the values."""
    places = (place for place, other in enumerate(values) if is_same(value, other))
    return next(((place + 0.5) / len(values) for place in places), None)


def _between(start: float, end: float, unit: float) -> float:
    return start + unit * (end - start)


def _check_range(owner: str, low: float, high: float, scale: Scale) -> None:
    if not low < high:
        raise SpaceError(f"{owner}: low < high must hold, but got low={low}, high={high}; swap or widen them.")
    if scale == "log" and low <= 0:
        raise SpaceError(
            f"{owner}: a log scale needs low > 0, but got low={low}, high={high}; "
            "raise low above zero or use scale='linear'."
        )
    if scale == "log_one_minus" and high >= 1:
        raise SpaceError(
            f"{owner}: scale='log_one_minus' needs high < 1, but got low={low}, high={high}; lower high below one."
        )
