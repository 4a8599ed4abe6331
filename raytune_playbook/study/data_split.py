"""Which division of a `Split` a trial trains and evaluates on: data sampling variance (rule AD7).

See the playbook's "Determining whether to adopt a training pipeline change or hyperparameter configuration".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from raytune_playbook.errors import SpecError
from raytune_playbook.study.datasets import Split
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Int
from raytune_playbook.study.round import Round

DATA_SPLIT = "data_split"


def data_split(values: Mapping[str, Value]) -> int:
    """The number of the division among a trial's values; one that is not named is 0.

    Raises:
        SpecError: it is no whole number of at least 0.
    """
    value = values.get(DATA_SPLIT, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SpecError(f"{DATA_SPLIT} must be a whole number of at least 0, but got {value!r}; correct it.")
    return value


def refuse_data_split(round_: Round, datasets: object) -> None:
    """Hold the divisions that a round asks for against what its workload returns, before anything starts.

    Args:
        datasets: what `Workload.datasets` returned.

    Raises:
        SpecError: the division is tuned, is no number of one, or is not 0 where the splits are given ready-divided.
    """
    if any(round_.sets.get(name, name) == DATA_SPLIT for name in round_.tuned):
        raise SpecError(
            f"Round: {DATA_SPLIT} must not be a nuisance hyperparameter, since the best of several validation sets is "
            "the easiest one, but it is tuned; fix it, or make it scientific to see data sampling variance (rule AD7)."
        )
    for value in _asked_for(round_):
        if data_split({DATA_SPLIT: value}) and not isinstance(datasets, Split):
            raise SpecError(
                f"{DATA_SPLIT} asks for another division of the examples, but got {value} where Workload.datasets "
                "returns splits that are divided already; return a Split, or leave it at 0."
            )


def _asked_for(round_: Round) -> Iterator[Value]:
    """The divisions that a round fixes or compares; of a sampled range both ends."""
    yield round_.fixed_values.get(DATA_SPLIT, 0)
    for name, value in ((name, value) for arm in round_.arms for name, value in arm.items()):
        if round_.sets.get(name, name) == DATA_SPLIT:
            yield value
    for name, hyperparameter in round_.space.items():
        if round_.sets.get(name, name) == DATA_SPLIT and isinstance(hyperparameter, Int | Float):
            yield from (hyperparameter.low, hyperparameter.high)
