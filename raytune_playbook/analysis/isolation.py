"""The data of isolation plots: the best trial over the nuisance hyperparameters for each scientific value.

See the playbook's "Detecting whether a change is useful with isolation plots" (rule IN12): values of a continuous
scientific hyperparameter are bucketed, and the best trial of each slice is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Scale


@dataclass(frozen=True)
class IsolationPoint:
    """One scientific value, or one bucket of a continuous hyperparameter, and the best trial there.

    Fields:
        value: the scientific value, or of a bucket that of its best trial.
        edges: of the bucket; None for a value.
        best: None where no trial was completed there.
        others: objectives of the other completed trials there, the best first.
        interval: where the best of as many trials of another search would lie, in 8 of 10 cases; None where too few
            trials tell.
        num_trials: that were tried there, infeasible ones included.
    """

    value: Value
    edges: tuple[float, float] | None
    best: Trial | None
    others: tuple[float, ...]
    interval: tuple[float, float] | None
    num_trials: int


@dataclass(frozen=True)
class Isolation:
    """An isolation plot of one scientific hyperparameter; ``scale`` is ``linear`` for choices."""

    name: str
    scale: Scale
    points: tuple[IsolationPoint, ...]


def isolations(evidence: Evidence) -> tuple[Isolation, ...]:
    """The isolation plots of every scientific hyperparameter."""
    return ()
