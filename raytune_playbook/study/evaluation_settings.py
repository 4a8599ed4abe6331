"""How a round evaluates: the size of its batches (rule EV1) and of the sample it scores periodically (rule EV5).

Both are fixed hyperparameters, so that a trial's record holds them. They are settings of the round and not to be tuned:
trials that were scored on different examples cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.study import StudySpec

BATCH_SIZE = "evaluation_batch_size"
SAMPLE = "evaluation_sample"

FULL_VALIDATION = "validation_full"
"""The split of a score on all validation examples, where periodic evaluation uses a sample of them."""

CHOSEN = "chosen"
"""The split of the few validation examples whose predictions are saved at every evaluation (rule EV4)."""

WEIGHT = "_weight"
"""The column of an evaluation batch that is 1 for an example and 0 for padding."""

ROW = "_row"
"""The column of an evaluation batch that holds each example's number in its split."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What a trial's values say about its evaluations.

    Fields:
        batch_size: examples of all workers together; None for as many as suit.
        sample: how many validation examples periodic evaluation scores; None for all.
    """

    batch_size: int | None
    sample: int | None


def evaluation_settings(values: Mapping[str, Value], training_batch_size: int) -> EvaluationSettings:
    """The settings among a trial's values; one that is not named is None.

    Raises:
        SpecError: one is no positive whole number, or evaluation batches are smaller than training batches.
    """
    batch_size, sample = _positive(BATCH_SIZE, values), _positive(SAMPLE, values)
    if batch_size is not None and batch_size < training_batch_size:
        raise SpecError(
            f"{BATCH_SIZE} must be at least batch_size, since evaluation keeps no activations (rule EV1), but got "
            f"{batch_size} < {training_batch_size}; make it larger, or None for a size that suits."
        )
    return EvaluationSettings(batch_size, sample)


def is_sampled(values: Mapping[str, Value]) -> bool:
    """Whether periodic evaluation scores a sample of the validation examples."""
    return values.get(SAMPLE) is not None


def check_evaluation(study: StudySpec) -> None:
    """Check a study's settings against every batch size that it may try, before anything starts.

    Raises:
        SpecError: as `evaluation_settings`, or a setting varies between trials.
    """
    varied = _varied(study)
    for name in (BATCH_SIZE, SAMPLE):
        if name in varied:
            raise SpecError(
                f"{name} must be the same for all trials of a round, which are compared by their evaluations, "
                f"but study {study.name!r} varies it; fix it."
            )
    for size in _batch_sizes(study):
        evaluation_settings(study.fixed, size)


def _varied(study: StudySpec) -> set[str]:
    """Names of the workload's hyperparameters that differ within a study or between a round's studies."""
    given = [*study.arm, *(name for point in (*study.arms, *study.configurations) for name in point), *study.space]
    return {study.sets.get(name, name) for name in given}


def _batch_sizes(study: StudySpec) -> Iterator[int]:
    """The batch sizes that a study may try; it is fixed, scientific or listed, and never a nuisance (rule BA7)."""
    given: list[Value] = [study.fixed.get("batch_size")]
    for point in (study.arm, *study.arms, *study.configurations):
        given += [value for name, value in point.items() if study.sets.get(name, name) == "batch_size"]
    yield from (size for size in given if isinstance(size, int) and not isinstance(size, bool))


def _positive(name: str, values: Mapping[str, Value]) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(f"{name} must be a number of examples above zero, or None, but got {value!r}; correct it.")
    return value
