"""What a round came to: how its trials ended, and its scientific values compared.

Rule SD8: values are compared by the best trial of each, with the nuisance hyperparameters optimized away. Rule SD13:
only at equal tuning, so a study that had more or fewer trials is named. Rule SD3: a conclusion carries its caveats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.best import best_of_each_study
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import RoundRecord
from raytune_playbook.study.spec import Objective, Value
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

    @property
    def num_informative(self) -> int:
        """Points that were tried: an infeasible one is evidence, one that crashed is not."""
        return self.completed + self.num_infeasible


@dataclass(frozen=True)
class ArmResult:
    """One study: its scientific values, the best trial under them, and how its trials ended."""

    study: str
    arm: Mapping[str, Value]
    best: Trial | None
    counts: Counts


@dataclass(frozen=True)
class Imbalance:
    """A study that had more or fewer trials than most others (rule SD13)."""

    study: str
    num_trials: int
    usual_num_trials: int

    @property
    def sentence(self) -> str:
        more = "more" if self.num_trials > self.usual_num_trials else "fewer"
        return (
            f"{self.study} was tuned with {more} trials ({self.num_trials}) than the others ({self.usual_num_trials}), "
            "so its comparison with them is not fair."
        )


@dataclass(frozen=True)
class RoundSummary:
    """A round's outcome.

    Fields:
        objective: what the trials are judged by here.
        arms: one result per study, in the order in which they were planned.
        best: the best of the arms; None where no trial was completed.
        imbalances: studies that had more or fewer trials than the others.
        caveats: what every conclusion is bound to.
    """

    objective: Objective
    arms: tuple[ArmResult, ...]
    best: ArmResult | None
    imbalances: tuple[Imbalance, ...]
    caveats: tuple[str, ...]

    @property
    def total(self) -> Counts:
        """The counts of all studies together."""
        infeasible: Counter[str] = Counter()
        for arm in self.arms:
            infeasible.update(arm.counts.infeasible)
        return Counts(
            planned=sum(arm.counts.planned for arm in self.arms),
            completed=sum(arm.counts.completed for arm in self.arms),
            infeasible=dict(infeasible.most_common()),
            failed=sum(arm.counts.failed for arm in self.arms),
        )


def summarize(
    record: RoundRecord, studies: Sequence[StudySpec], trials: Sequence[Trial], objective: Objective
) -> RoundSummary:
    """Compare a round's studies by ``objective``, which the trials have been judged by."""
    best = best_of_each_study(trials, objective)
    by_study: dict[str, list[Trial]] = {study.name: [] for study in studies}
    for trial in trials:
        by_study.setdefault(trial.study, []).append(trial)
    arms = tuple(
        ArmResult(
            study=study.name,
            arm=study.arm,
            best=best[study.name][0] if study.name in best else None,
            counts=counts(by_study[study.name], planned=study.num_trials),
        )
        for study in studies
    )
    # `best_of_each_study` meets the best trial's study first.
    winner = next(iter(best), None)
    return RoundSummary(
        objective=objective,
        arms=arms,
        best=next((arm for arm in arms if arm.study == winner), None),
        imbalances=_imbalances(arms),
        caveats=tuple(record.caveats),
    )


def counts(trials: Sequence[Trial], *, planned: int) -> Counts:
    """How the trials of one study ended."""
    first_runs = [trial for trial in trials if trial.repeat == 0]
    infeasible = Counter(reason_kind(trial.reason) for trial in first_runs if trial.outcome == "infeasible")
    return Counts(
        planned=planned,
        completed=sum(trial.outcome == "completed" for trial in first_runs),
        infeasible=dict(infeasible.most_common()),
        failed=sum(trial.outcome == "failed" for trial in first_runs),
    )


def reason_kind(reason: str | None) -> str:
    """The kind of a reason: ``diverged`` of ``diverged: training loss 31.2 exceeds 2 x 2.30``."""
    return (reason or "").partition(":")[0].strip() or "no reason given"


def _imbalances(arms: Sequence[ArmResult]) -> tuple[Imbalance, ...]:
    tried = [arm.counts.num_informative for arm in arms]
    if len(set(tried)) <= 1:
        return ()
    # Most studies are the measure; where none is in the majority, the best tuned one is.
    frequency = Counter(tried)
    usual = max(frequency, key=lambda number: (frequency[number], number))
    return tuple(
        Imbalance(arm.study, number, usual) for arm, number in zip(arms, tried, strict=True) if number != usual
    )
