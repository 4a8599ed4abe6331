"""Gradient clipping by global norm (rule UN6).

Playbook, "Gradient clipping": if the norm |g| of the full gradient is greater than the threshold, the new gradient is
threshold x g / |g|; else it stays as it is, bit for bit.
"""

from __future__ import annotations

from torch import Tensor

from raytune_playbook.errors import SpecError
from raytune_playbook.train.workload import Values


def clipping_threshold(values: Values) -> float | None:
    """The global norm above which gradients are scaled down, or None for never.

    Raises:
        SpecError: it is not a positive number.
    """
    threshold = values.optional_number("clipping_norm")
    if threshold is not None and not threshold > 0:
        raise SpecError(f"clipping_norm must be above 0, but got {threshold:g}; use None for no clipping.")
    return threshold


def clipping_factor(norm: Tensor, threshold: float) -> Tensor:
    """What the gradient is multiplied by: min(1, threshold / norm), a scalar on the device.

    Computed for every step rather than decided on, since a decision would wait for the device. A norm of 0 gives 1.
    """
    return (threshold / norm).clamp(max=1.0)
