"""Values and ranges of hyperparameters as text: the same in a sentence, in a table and on the page."""

from __future__ import annotations

from collections.abc import Mapping

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int


def value_text(value: Value) -> str:
    """A hyperparameter's value, numbers with four significant digits."""
    match value:
        case None:
            return "none"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)


def values_text(values: Mapping[str, Value]) -> str:
    """Several values: ``learning_rate=0.0123, dropout=0.1``."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in values.items())


def range_text(searched: Hyperparameter) -> str:
    """Which values a hyperparameter could take, and where."""
    where = " and ".join(f"{name} = {' or '.join(map(value_text, values))}" for name, values in searched.when.items())
    return _values_text(searched) + (f", where {where}" if where else "")


def _values_text(searched: Hyperparameter) -> str:
    match searched:
        case Float() | Int():
            return f"{value_text(searched.low)} to {value_text(searched.high)}{_SCALES[searched.scale]}"
        case Discrete():
            return ", ".join(value_text(value) for value in searched.values)
        case Categorical():
            return ", ".join(value_text(choice) for choice in searched.choices)


_SCALES = {"linear": "", "log": ", log scale", "log_one_minus": ", log scale in 1 - value"}
