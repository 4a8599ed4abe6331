"""What findings and answers are made from: a round's studies, its trials and their curves, in memory.

It is built from records (`raytune_playbook.report.reading`) or from what another tool has recorded
(`raytune_playbook.report.foreign`), of which some of it may not be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from raytune_playbook.analysis.judging.best import ranked
from raytune_playbook.analysis.plots.axis import scientific
from raytune_playbook.analysis.series.curves import TrialCurves
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.records.types import ExamplesRecord, Outcome, Role
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from raytune_playbook.study.hyperparameters.space import active
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec


@dataclass(frozen=True)
class Arm:
    """One combination of scientific values, and what was tried under it.

    Fields:
        study: the name of its study, which a joint study shares among its arms.
        values: the scientific values; empty where nothing is compared.
        space: what was tuned under them.
        ended: first runs that have ended, whatever way, by index: no repeats.
        ranked: those of them that were completed, the best first.
        planned: how many points it was given.
    """

    study: str
    values: Mapping[str, Value]
    space: Mapping[str, Hyperparameter]
    ended: tuple[Trial, ...] = field(repr=False)
    ranked: tuple[Trial, ...] = field(repr=False)
    planned: int

    @property
    def best(self) -> Trial | None:
        """Its best trial; None where none was completed."""
        return self.ranked[0] if self.ranked else None

    @property
    def infeasible(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.ended if trial.outcome == Outcome.INFEASIBLE)


@dataclass(frozen=True)
class EarlierRound:
    """Another round of the same workload, created before.

    Fields:
        examples: what it trained on; None where that is not known.
    """

    name: str
    studies: tuple[StudySpec, ...]
    examples: ExamplesRecord | None = None


@dataclass(frozen=True)
class Evidence:
    """All that is known of a round.

    Fields:
        studies: of the round.
        objective: what ``trials`` are judged by.
        trials: all of them, repeats and those that run included.
        curves: of the trials whose measurements were recorded; a trial that is not in it has none.
        roles: of each hyperparameter.
        reasons: why a hyperparameter has its role, by its name.
        examples: what was trained on; None where that is not known.
        is_finished: whether no more trials are to come.
        warnings: the rules of thumb that the round goes against, each as ``SD4: what is wrong; what to do.``
        earlier: the rounds of its workload that trained for as many steps before, in the order in which they were
            created; None where that is not known.
    """

    studies: tuple[StudySpec, ...]
    objective: Objective
    trials: tuple[Trial, ...]
    curves: Mapping[TrialId, TrialCurves] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    examples: ExamplesRecord | None = None
    is_finished: bool = True
    warnings: tuple[str, ...] = ()
    earlier: tuple[EarlierRound, ...] | None = None

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """The combinations of scientific values in the order in which they were planned; of a joint study those that
        were tried."""
        by_study: dict[str, list[Trial]] = {study.name: [] for study in self.studies}
        for trial in self.first_runs:
            by_study.setdefault(trial.study, []).append(trial)
        return tuple(arm for study in self.studies for arm in self._arms(study, by_study[study.name]))

    def _arms(self, study: StudySpec, trials: list[Trial]) -> list[Arm]:
        if not study.arms:
            return [self._arm(study, study.arm, trials, study.num_trials)]
        by_values: dict[tuple[str, ...], list[Trial]] = {}
        for trial in trials:
            by_values.setdefault(tuple(same_text(trial.values.get(name)) for name in study.arms[0]), []).append(trial)
        found = [(values, by_values.get(tuple(map(same_text, values.values())))) for values in study.arms]
        return [self._arm(study, values, own, len(own)) for values, own in found if own]

    def _arm(self, study: StudySpec, values: Mapping[str, Value], trials: list[Trial], planned: int) -> Arm:
        ended = sorted((trial for trial in trials if trial.outcome is not None), key=lambda trial: trial.index)
        space = active(study.space, values) if study.arms else study.space
        return Arm(study.name, values, space, tuple(ended), tuple(ranked(ended, self.objective)), planned)

    @cached_property
    def first_runs(self) -> tuple[Trial, ...]:
        """Without the repeats of points."""
        return tuple(trial for trial in self.trials if trial.repeat == 0)

    @cached_property
    def ranked(self) -> tuple[Trial, ...]:
        """The completed trials of the whole round, the best first."""
        return tuple(ranked(self.trials, self.objective))

    @property
    def target(self) -> float | None:
        """At which objective trials end; None where all are trained to the end."""
        return next((study.target for study in self.studies if study.target is not None), None)

    @cached_property
    def scientific(self) -> tuple[str, ...]:
        """The hyperparameters whose values are compared one by one."""
        return tuple(scientific(self.studies))

    @property
    def is_planned_here(self) -> bool:
        """Whether our own loop has trained the trials, by a plan that was checked; else another tool has."""
        return any(study.workload.module for study in self.studies)

    @cached_property
    def num_validation_examples(self) -> int | None:
        """How many examples the objective is measured on; None where that is not known."""
        return None if self.examples is None else self.examples.num_examples.get(self.objective.split)

    def behind(self, trial: Trial) -> float | None:
        """By how much a trial is worse than the round's best; 0 for that one, None where it has no objective."""
        if trial.objective is None or not self.ranked or self.ranked[0].objective is None:
            return None
        return abs(trial.objective - self.ranked[0].objective)


def same_text(value: Value) -> str:
    """The same for 32 as for 32.0 and "32": a table gives a value back in its column's type."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
