"""Is the sample that periodic evaluation scores large enough, and like the whole set? (Rules EV5 and EV8.)

See the playbook's "Choosing a sample for periodic evaluation": the sample should be "large enough that improvements to
the model can be accurately measured", and its performance should match "the performance on the whole offline evaluation
set, i.e. there is no skew between the sampled set and the full dataset".

Samples are drawn without replacement and are the same for all trials of a study, so two trials are compared on the same
examples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raytune_playbook.analysis.judging.objective import Best, best_of
from raytune_playbook.study.evaluation_settings import FULL_VALIDATION
from raytune_playbook.study.settings import Objective

NUM_EXAMPLES = "num_examples"
"""The measurement of how many examples an evaluation scored."""

STANDARD_ERROR = "standard_error."

SKEW_LIMIT = 3.0
"""Standard errors between the sampled and the full score beyond which chance is no explanation (1 in 370)."""

_DISTINGUISHED = 2.0
"""Standard errors that a difference between two trials must exceed to be told from noise."""


def standard_error_column(metric: str) -> str:
    """The measurement of a metric's standard error over the examples of its evaluation."""
    return STANDARD_ERROR + metric


def standard_error(deviation: float, num_sample: int, num_total: int | None = None) -> float:
    """Of a mean over a sample, as an estimate of the mean over the whole set.

    Args:
        deviation: standard deviation of the per-example metric; ``sqrt(p (1 - p))`` for an error rate p.
        num_total: examples of the whole set, which the sample is drawn from without replacement; None where the set
            itself is but a sample of all examples that there could be.
    """
    _check_sample(num_sample, num_total)
    without_replacement = 1.0 if num_total is None or num_total == 1 else (num_total - num_sample) / (num_total - 1)
    return deviation * math.sqrt(without_replacement / num_sample)


def difference_error(rate: float, other: float, num_sample: int, num_total: int | None = None) -> float:
    """At most the standard error of the difference between two error rates on the same sample.

    Two models differ on an example when exactly one of them errs, by +-1; that is so for at most a share
    ``rate + other`` of the examples.
    """
    differing = min(1.0, rate + other, 2.0 - rate - other)
    return standard_error(math.sqrt(max(0.0, differing - (rate - other) ** 2)), num_sample, num_total)


def smallest_sample(error_rate: float, wanted_error: float, num_total: int) -> int:
    """The smallest sample whose error rate has a standard error of at most ``wanted_error``.

    Raises:
        ValueError: the wanted error is not above zero.
    """
    if wanted_error <= 0:
        raise ValueError(f"wanted_error must be above zero, but got {wanted_error:g}; scoring all examples has none")
    variance = _deviation(error_rate) ** 2
    # Of standard_error(...) <= wanted_error, solved for the size.
    size = math.ceil(variance * num_total / (wanted_error**2 * (num_total - 1) + variance)) if num_total > 1 else 1
    return max(1, min(num_total, size))


def noise_warning(rate: float, other: float, num_sample: int, num_total: int) -> str | None:
    """A sentence where two error rates on a sample are too close to say which is lower on the whole set, or None."""
    noise = difference_error(rate, other, num_sample, num_total)
    if abs(rate - other) > _DISTINGUISHED * noise or noise == 0.0:
        return None
    larger = _twice_as_sharp(rate, num_sample, num_total)
    return (
        f"EV5: {rate:.4g} and {other:.4g} on a sample of {num_sample:,} of {num_total:,} validation examples may "
        f"differ by chance (standard error up to {noise:.2g}); a sample of {larger:,} would halve that."
    )


def _twice_as_sharp(rate: float, num_sample: int, num_total: int) -> int:
    error = standard_error(_deviation(rate), num_sample, num_total)
    return smallest_sample(rate, error / 2, num_total) if error > 0 else num_sample


@dataclass(frozen=True)
class Skew:
    """One metric of one model on the sample and on the whole validation set.

    Fields:
        sampled, full: its mean on each.
        num_sample, num_total: examples in each.
        standard_error: what chance lets them differ by, for the sample is a part of the set.
    """

    step: int
    metric: str
    sampled: float
    full: float
    num_sample: int
    num_total: int
    standard_error: float

    @property
    def num_standard_errors(self) -> float:
        """The distance between them; infinite where chance allows of none."""
        distance = abs(self.sampled - self.full)
        return distance / self.standard_error if self.standard_error > 0 else (math.inf if distance else 0.0)

    @property
    def is_skewed(self) -> bool:
        """Whether the sample stands for the whole set no more."""
        return self.num_standard_errors > SKEW_LIMIT


def skews(measurements: pa.Table | None) -> tuple[Skew, ...]:
    """The sample against the whole set at every step that was scored on both; metrics that are means."""
    if measurements is None:
        return ()
    full_rows = {row["step"]: row for row in _rows(measurements, FULL_VALIDATION)}
    found = []
    for row in _rows(measurements, "validation"):
        full = full_rows.get(row["step"])
        if full is None or full.get(NUM_EXAMPLES) is None or row.get(NUM_EXAMPLES) is None:
            continue
        num_sample, num_total = int(row[NUM_EXAMPLES]), int(full[NUM_EXAMPLES])
        for column in full:
            metric = column.removeprefix(STANDARD_ERROR)
            if column == metric or full[column] is None or row[metric] is None or full[metric] is None:
                continue
            deviation = full[column] * math.sqrt(num_total - 1)  # that error counts N - 1 degrees of freedom
            chance = standard_error(deviation, num_sample, num_total)
            found.append(Skew(int(row["step"]), metric, row[metric], full[metric], num_sample, num_total, chance))
    return tuple(found)


def best_on_all(measurements: pa.Table | None, objective: Objective) -> Best | None:
    """The objective by the kept checkpoints' scores on all validation examples, which decide where there are any.

    None where periodic evaluation scored all examples, or the objective is not about validation.
    """
    if measurements is None or objective.split != "validation" or objective.metric not in measurements.column_names:
        return None
    rows = _rows(measurements, FULL_VALIDATION)
    return best_of([int(row["step"]) for row in rows], [row[objective.metric] for row in rows], objective)


def _rows(measurements: pa.Table, split: str) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = measurements.filter(pc.equal(measurements["split"], split)).to_pylist()
    return rows


def _deviation(error_rate: float) -> float:
    if not 0.0 <= error_rate <= 1.0:
        raise ValueError(f"an error rate is between 0 and 1, but got {error_rate:g}")
    return math.sqrt(error_rate * (1.0 - error_rate))


def _check_sample(num_sample: int, num_total: int | None) -> None:
    if num_sample < 1 or (num_total is not None and num_sample > num_total):
        raise ValueError(f"a sample has 1 to {num_total} examples, but got {num_sample}")
