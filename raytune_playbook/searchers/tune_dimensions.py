"""What the domains of Ray Tune become that are none of our own kinds of hyperparameters: steps and normal numbers."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import Any, TypeGuard

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter, Int


@dataclass(frozen=True)
class Dimension:
    """One dimension of a search: ``hyperparameter`` takes a coordinate and gives its value."""

    hyperparameter: Hyperparameter

    def value(self, drawn: Value) -> Value:
        """What ``drawn``, a value of ``hyperparameter``, stands for."""
        return drawn

    def contains(self, value: Any) -> bool:
        if isinstance(self.hyperparameter, Int) and not isinstance(value, int):
            return False
        is_plain = value is None or isinstance(value, str | int | float)
        return is_plain and self.hyperparameter.to_unit(value) is not None


@dataclass(frozen=True)
class Steps(Dimension):
    """Evenly spaced numbers from ``low`` to ``high``, which ``hyperparameter`` numbers on the scale of their sampling.

    The spacing is exact in decimals: ``quniform(0, 1, 0.1)`` gives 0.3, not 0.30000000000000004.
    """

    hyperparameter: Int
    low: int | float
    high: int | float

    def value(self, drawn: Value) -> int | float:
        assert isinstance(drawn, int)
        value = _exact(self.low) + self._spacing * (drawn - self.hyperparameter.low)
        return int(value) if isinstance(self.low, int) else float(value)

    def contains(self, value: Any) -> bool:
        if not is_number(value):
            return False
        steps = (_exact(value) - _exact(self.low)) / self._spacing
        return 0 <= round(steps) < self.hyperparameter.num_values and _is_whole(float(steps))

    @property
    def _spacing(self) -> Fraction:
        return (_exact(self.high) - _exact(self.low)) / (self.hyperparameter.num_values - 1)


@dataclass(frozen=True)
class Normal(Dimension):
    """A normal number, or the multiple of ``step`` next to it; ``hyperparameter`` is the unit interval."""

    mean: float
    sd: float
    step: float | None

    def value(self, drawn: Value) -> float:
        assert isinstance(drawn, float)
        # A coordinate of exactly 0 would be minus infinity: it stands for the lower half of its cell of 2^-53.
        number = NormalDist(self.mean, self.sd).inv_cdf(max(drawn, 2.0**-54))
        return number if self.step is None else float(round(number / self.step) * _exact(self.step))

    def contains(self, value: Any) -> bool:
        return is_number(value) and (self.step is None or _is_whole(value / self.step))


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether it is a finite number that a double holds, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_whole(number: float) -> bool:
    return math.isclose(number, round(number), rel_tol=1e-9, abs_tol=1e-9)


def _exact(number: float) -> Fraction:
    """The number as it is written, so that 0.1 is a tenth."""
    return Fraction(str(number))
