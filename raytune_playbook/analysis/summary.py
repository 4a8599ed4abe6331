"""What a round came to: how its trials ended, and its scientific values compared.

Rule SD8: values are compared by the best trial of each, with the nuisance hyperparameters optimized away. How sure that
is says `raytune_playbook.analysis.answer`; this is counted without any curves, so that a list of rounds is quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.evidence import same_text
from raytune_playbook.analysis.judging.best import best_trial, ranked
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec


@dataclass(frozen=True)
class Counts:
    """How many trials ended how; repeats of a point are not counted.

    Fields:
        planned: points that the study was given.
        completed, failed: trials that ended so.
        infeasible: kind of reason (what stands before the reason's first colon) -> trials, the most frequent first.
    """

    planned: int
    completed: int
    infeasible: Mapping[str, int]
    failed: int

    @property
    def num_infeasible(self) -> int:
        return sum(self.infeasible.values())

    @property
    def num_ended(self) -> int:
        return self.completed + self.num_infeasible + self.failed

    @property
    def unfinished(self) -> int:
        """Trials that are running or have not started."""
        return max(0, self.planned - self.num_ended)


@dataclass(frozen=True)
class ArmResult:
    """One combination of scientific values: its study, the best trial under it, and how its trials ended."""

    study: str
    arm: Mapping[str, Value]
    best: Trial | None
    counts: Counts


@dataclass(frozen=True)
class RoundSummary:
    """A round's outcome.

    Fields:
        objective: what the trials are judged by here.
        arms: one result per study, in the order in which they were planned; for a joint study one per combination of
            scientific values that was tried.
        best: the best of the arms; None where no trial was completed.
        total: the counts of all studies together.
    """

    objective: Objective
    arms: tuple[ArmResult, ...]
    best: ArmResult | None
    total: Counts

    def leading(self, most: int) -> tuple[ArmResult, ...]:
        """The arms in their order, or the best of them where they are more than ``most``."""
        if len(self.arms) <= most:
            return self.arms
        place = {trial.id: i for i, trial in enumerate(ranked([a.best for a in self.arms if a.best], self.objective))}
        known = [arm for arm in self.arms if arm.best is not None]
        return tuple(sorted(known, key=lambda arm: place[arm.best.id] if arm.best else 0)[:most])


def summarize(studies: Sequence[StudySpec], trials: Sequence[Trial], objective: Objective) -> RoundSummary:
    """Compare a round's studies by ``objective``, which the trials have been judged by."""
    by_study: dict[str, list[Trial]] = {study.name: [] for study in studies}
    for trial in trials:
        by_study.setdefault(trial.study, []).append(trial)
    arms = [arm for study in studies for arm in _arms(study, by_study[study.name], objective)]
    winner = best_trial(trials, objective)
    return RoundSummary(
        objective=objective,
        arms=tuple(arms),
        best=next((arm for arm in arms if arm.best is not None and arm.best is winner), None),
        total=counts(trials, planned=sum(study.num_trials for study in studies)),
    )


def _arms(study: StudySpec, trials: Sequence[Trial], objective: Objective) -> list[ArmResult]:
    if not study.arms:
        ended = counts(trials, planned=study.num_trials)
        return [ArmResult(study.name, study.arm, best_trial(trials, objective), ended)]
    by_values: dict[tuple[str, ...], list[Trial]] = {}
    for trial in trials:
        by_values.setdefault(tuple(same_text(trial.values.get(name)) for name in study.arms[0]), []).append(trial)
    found = []
    for arm in study.arms:
        if of_arm := by_values.get(tuple(map(same_text, arm.values()))):
            ended = counts(of_arm, planned=len({trial.index for trial in of_arm}))
            found.append(ArmResult(study.name, arm, best_trial(of_arm, objective), ended))
    return found


def counts(trials: Sequence[Trial], *, planned: int) -> Counts:
    """How the trials of one study ended."""
    first_runs = [trial for trial in trials if trial.repeat == 0]
    infeasible = Counter(reason_kind(trial.reason) for trial in first_runs if trial.outcome == Outcome.INFEASIBLE)
    return Counts(
        planned=planned,
        completed=sum(trial.outcome == Outcome.COMPLETED for trial in first_runs),
        infeasible=dict(infeasible.most_common()),
        failed=sum(trial.outcome == Outcome.FAILED for trial in first_runs),
    )


def reason_kind(reason: str | None) -> str:
    """The kind of a reason: ``diverged`` of ``diverged: training loss 31.2 exceeds 2 x 2.30``."""
    return (reason or "").partition(":")[0].strip() or "no reason given"
