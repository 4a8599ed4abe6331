"""What other tools' trials mean: which hyperparameter is scientific, what trials are judged by, and what was searched.

Options say it, or a small TOML file; every line of it may be missing::

    name = "mlp"
    goal = "Is Adam better than momentum?"
    objective = "val_error"            # the metric that trials are judged by
    maximize = false                   # whether large values are good
    over = "best"                      # the best value over training, or the "last" one
    scientific = ["optimizer"]         # whose values are compared
    seeds = ["seed"]                   # trials that differ in nothing else are repeats of one point
    ignore = ["run_id"]                # no hyperparameters
    validation_examples = 352          # how many examples the objective is measured on

    [fixed]                            # only trials with these values count; what was not recorded is a caveat
    dataset = "digits"

    [ranges]                           # what was searched: a range, or the values
    learning_rate = {low = 1e-4, high = 1.0, scale = "log"}
    depth = {values = [2, 4, 8]}
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from raytune_playbook.errors import InputError, SpecError
from raytune_playbook.study.closest import did_you_mean
from raytune_playbook.study.frozen import FrozenSpec, Number, Value
from raytune_playbook.study.hyperparameters.hyperparameter import (
    Categorical,
    Discrete,
    Float,
    Hyperparameter,
    Int,
    Scale,
    finite_values,
)
from raytune_playbook.study.settings import Goal, Over


class RangeSpec(FrozenSpec):
    """What was searched of one hyperparameter: ``low``, ``high`` and ``scale``, or ``values``."""

    low: Number | None = None
    high: Number | None = None
    scale: Scale = "linear"
    values: tuple[Value, ...] | None = None

    @model_validator(mode="after")
    def _is_a_range_or_values(self) -> Self:
        is_range = self.low is not None and self.high is not None
        if is_range == bool(self.values) or (self.values and (self.low is not None or self.high is not None)):
            raise SpecError("A range of a hyperparameter has low and high, or values: give the one or the other.")
        return self

    def hyperparameter(self) -> Hyperparameter:
        """The same as a hyperparameter.

        Raises:
            InputError: it cannot be searched.
        """
        if self.values is not None:
            return choices(self.values)
        low, high = self.low or 0, self.high or 0
        if isinstance(low, int) and isinstance(high, int) and self.scale != "log_one_minus":
            return Int(low, high, scale=self.scale)
        return Float(low, high, scale=self.scale)


class Roles(FrozenSpec):
    """What the trials mean, as far as it was said; the module's head has each field's meaning."""

    name: str | None = Field(default=None, min_length=1)
    goal: str | None = Field(default=None, min_length=1)
    objective: str | None = None
    maximize: bool | None = None
    over: Over | None = None
    scientific: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    validation_examples: int | None = Field(default=None, gt=0)
    fixed: dict[str, Value] = Field(default_factory=dict)
    ranges: dict[str, RangeSpec] = Field(default_factory=dict)

    @field_validator("scientific", "seeds", "ignore", mode="before")
    @classmethod
    def _one_or_several(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    @field_validator("ranges", mode="before")
    @classmethod
    def _as_ranges(cls, given: object) -> object:
        """Each checked by itself, so that what is wrong names it."""
        if not isinstance(given, Mapping):
            return given
        return {name: _range(str(name), fields) for name, fields in given.items()}

    @model_validator(mode="after")
    def _one_role_each(self) -> Self:
        groups = {"scientific": self.scientific, "seeds": self.seeds, "ignore": self.ignore, "fixed": tuple(self.fixed)}
        seen: dict[str, str] = {}
        for group, names in groups.items():
            for name in names:
                if name in seen:
                    raise SpecError(
                        f"Every hyperparameter has one role, but {name!r} stands in {seen[name]} and in {group}; "
                        "take it out of one of them."
                    )
                seen[name] = group
        return self

    @property
    def direction(self) -> Goal | None:
        """Whether small or large values are good; None where nobody said it."""
        return None if self.maximize is None else "maximize" if self.maximize else "minimize"

    def require_known(self, names: tuple[str, ...], origin: str) -> None:
        """Refuse what names no hyperparameter of the trials; a fixed value may be one that was not recorded.

        Raises:
            SpecError: a name is none of theirs.
        """
        for name in (*self.scientific, *self.seeds, *self.ignore, *self.ranges):
            if name not in names:
                otherwise = f"name one of {', '.join(names) or 'none'}."
                raise SpecError(
                    f"Roles are of hyperparameters that the trials have, but {name!r} is none of those {origin}; "
                    f"{did_you_mean(name, names, otherwise)}"
                )


def read_roles(path: str | Path | None, **given: object) -> Roles:
    """The roles in a TOML file, and those that options say, which go before it.

    Args:
        path: of the file; None for none.
        given: by field; None and empty ones say nothing.

    Raises:
        SpecError: the file cannot be read, or a field is unknown or wrong.
    """
    said = {name: value for name, value in given.items() if value is not None and value not in ((), {})}
    return Roles(**_file(path) | said)


def _file(path: str | Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SpecError(
            f"Roles are read from a TOML file, but {str(path)!r} cannot be read ({why}); correct it."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"Roles are read from a TOML file, but {str(path)!r} is none ({error}); correct it.") from None


def _range(name: str, given: object) -> RangeSpec:
    if isinstance(given, RangeSpec):
        return given
    if isinstance(given, Float | Int):
        return RangeSpec(low=given.low, high=given.high, scale=given.scale)
    if isinstance(given, Discrete | Categorical):
        return RangeSpec(values=finite_values(given))
    if not isinstance(given, Mapping):
        raise SpecError(
            f'ranges.{name}: a range is written {{low = 1e-4, high = 1.0, scale = "log"}} or {{values = [2, 4]}}, but '
            f"got {given!r}; correct it."
        )
    try:
        made = RangeSpec(**{str(key): value for key, value in given.items()})
        made.hyperparameter()
    except InputError as error:
        raise SpecError(f"ranges.{name}: {error}") from None
    return made


def choices(values: tuple[Value, ...]) -> Discrete | Categorical:
    """A hyperparameter of these values, which are put in order where all are numbers."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return Discrete(sorted(set(numbers)))
    return Categorical(list({(isinstance(value, bool), value): value for value in values}.values()))
