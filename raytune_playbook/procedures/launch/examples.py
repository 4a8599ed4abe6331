"""How much of a difference is chance among the validation examples: on which of them candidate and baseline differ.

Both are scored on the same examples, so that what is hard for both makes no difference. A few retrained models of each
are averaged, and what is left varies from example to example; over as many examples as there are, that is the standard
error of the difference were other examples drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.answer.resolution import num_scored
from raytune_playbook.analysis.evaluation_sample import difference_error
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.engine.jobs.preflight import workload_of
from raytune_playbook.engine.trained.by_example import metric_by_example
from raytune_playbook.errors import InputError
from raytune_playbook.procedures.variance.points import is_current
from raytune_playbook.procedures.variance.retrainings import Point, Retrainings
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Outcome

NUM_MODELS = 4
"""Retrained models of each that are averaged."""

MAX_EXAMPLES = 20_000
"""More are not scored anew here; the bound below is small enough then."""


@dataclass(frozen=True)
class SamplingError:
    """A standard error by the choice of the validation examples.

    Fields:
        is_bound: whether it is at most so much, by the number of errors alone, and was not measured.
    """

    value: float
    num_examples: int
    is_bound: bool

    @property
    def text(self) -> str:
        """In words, with how it is known."""
        if self.is_bound:
            return f"at most {self.value:.2g} by the choice of the {self.num_examples:,} validation examples"
        return f"{self.value:.2g} by the choice of the validation examples (they differ on {self.num_examples:,})"


def paired_error(candidate: npt.NDArray[np.float64], baseline: npt.NDArray[np.float64]) -> tuple[float, int]:
    """The standard error of the difference of two means over the same examples, and on how many of them they differ.

    Args:
        candidate, baseline: a metric of several models on each example, (num_models, num_examples).
    """
    difference = candidate.mean(axis=0) - baseline.mean(axis=0)
    number = len(difference)
    if number < 2:
        return math.inf, int(np.count_nonzero(difference))
    return float(difference.std(ddof=1)) / math.sqrt(number), int(np.count_nonzero(difference))


def sampling_error(
    store: RoundStore, points: tuple[Point, Point], ends: tuple[Retrainings, Retrainings]
) -> SamplingError | None:
    """Of the difference between two points that were retrained: measured, or bounded by their errors; else not known.

    Args:
        store: of the candidate's round.
        points, ends: the baseline and the candidate, and what retraining them came to.
    """
    record = store.round()
    number = None if record.examples is None else record.examples.num_examples.get("validation")
    if record.objective.split != "validation" or number is None:
        return None
    measured = _measured(store, points) if number <= MAX_EXAMPLES else None
    if measured is not None:
        return measured
    evidence = Evidence(tuple(store.studies()), record.objective, trials_of(store.trials()), examples=record.examples)
    counted, medians = num_scored(evidence), (ends[0].median, ends[1].median)
    if counted is None or medians[0] is None or medians[1] is None:
        return None
    return SamplingError(difference_error(medians[0], medians[1], counted), counted, is_bound=True)


def _measured(store: RoundStore, points: tuple[Point, Point]) -> SamplingError | None:
    """None where the models are gone, or the metric is no mean over examples."""
    try:
        found = [_by_example(RoundStore(store.storage, point.round.name), point) for point in points]
    except InputError:
        return None
    if found[0] is None or found[1] is None or found[0].shape[1] != found[1].shape[1]:
        return None
    if not all(np.isfinite(each).all() for each in found if each is not None):
        return None
    error, num_differing = paired_error(found[1], found[0])
    return SamplingError(error, num_differing, is_bound=False)


def _by_example(store: RoundStore, point: Point) -> npt.NDArray[np.float64] | None:
    """A few retrained models of a point, (num_models, num_examples)."""
    objective, workload = store.round().objective, workload_of(point.round)
    own = [each for each in trials_of(store.trials(point.study)) if _counts(each, point)][:NUM_MODELS]
    found = []
    for each in own:
        values = metric_by_example(store, each.text, objective.metric, objective.split, workload=workload)
        if values is None:
            return None
        found.append(values)
    return np.stack(found) if found else None


def _counts(trial: Trial, point: Point) -> bool:
    is_own = trial.index == point.index and (trial.repeat > 0 or not point.is_picked)
    return is_own and trial.outcome is Outcome.COMPLETED and is_current(trial, point)
