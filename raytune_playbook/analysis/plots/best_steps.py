"""The steps at which trials were best, as shares of their training (rule IN14).

See the playbook's "Deciding how long to train when training is not compute-bound": they tell whether max_train_steps is
too large, or whether longer training might pay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.series.curves import Evaluation
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.study.frozen import Value


@dataclass(frozen=True)
class BestSteps:
    """When the completed trials of an arm were best.

    Fields:
        study: the name of its study.
        values: its scientific values.
        trials: the best first.
        shares: of each trial's training, at which it was best, from 0 to 1.
    """

    study: str
    values: Mapping[str, Value]
    trials: tuple[Trial, ...]
    shares: tuple[float, ...]


def best_steps(evidence: Evidence) -> tuple[BestSteps, ...]:
    """Of each arm; trials of which it is not known are left out."""
    found = []
    for arm in evidence.arms:
        shares = _shares_of(evidence, arm.ranked)
        trials = tuple(trial for trial in arm.ranked if trial.id in shares)
        found.append(BestSteps(arm.study, arm.values, trials, tuple(shares[trial.id] for trial in trials)))
    return tuple(found)


def _shares_of(evidence: Evidence, trials: Iterable[Trial]) -> dict[TrialId, float]:
    """By trial, the share of its training, warmup included, at which it was best."""
    found = {}
    for trial in trials:
        step = _best_step(evidence, trial)
        num_steps = trial.training.num_steps if trial.training is not None else 0
        if step is not None and num_steps:
            found[trial.id] = step / num_steps
    return found


def _best_step(evidence: Evidence, trial: Trial) -> int | None:
    """The step at which a trial's metric was best, whichever of its values it is judged by."""
    if evidence.objective.over == "best":
        return trial.best_step
    curves = evidence.curves.get(trial.id)
    judged = Evaluation(evidence.objective.split, evidence.objective.metric)
    curve = None if curves is None else curves.evaluations.get(judged)
    if curve is None or not np.isfinite(curve.values).any():
        return None
    values = curve.values if evidence.objective.goal == "minimize" else -curve.values
    return int(curve.steps[np.argmin(np.where(np.isfinite(values), values, np.inf))])
