"""The best trials: of a round, of each study, and those worth looking at.

Only completed trials compete, and a NaN or an infinity is no performance. A repeat of a point (the same values trained
again with other seeds) does not compete: it would give its point more draws than the others have, and the best of
several draws is better by luck alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.settings import Objective


def ranked(trials: Iterable[Trial], objective: Objective) -> list[Trial]:
    """Completed trials, the best first; ties go to the lower index, then to the trial that was given first."""
    sign = 1.0 if objective.goal == "minimize" else -1.0
    judged = [
        (sign * trial.objective, trial.index, place, trial)
        for place, trial in enumerate(trials)
        if trial.outcome == Outcome.COMPLETED
        and trial.objective is not None
        and math.isfinite(trial.objective)
        and trial.repeat == 0
    ]
    return [trial for *_, trial in sorted(judged, key=lambda entry: entry[:3])]


def best_trial(trials: Iterable[Trial], objective: Objective) -> Trial | None:
    """The best of all; None where none was completed."""
    return next(iter(ranked(trials, objective)), None)


def best_of_each_study(trials: Iterable[Trial], objective: Objective, num_trials: int = 1) -> dict[str, list[Trial]]:
    """Each study's best few trials, the best first; a study without a completed trial is not there (rule IN5)."""
    found: dict[str, list[Trial]] = {}
    for trial in ranked(trials, objective):
        chosen = found.setdefault(trial.study, [])
        if len(chosen) < num_trials:
            chosen.append(trial)
    return found


def worth_showing(trials: Sequence[Trial], objective: Objective, max_trials: int) -> list[Trial]:
    """At most ``max_trials`` of all: every study's best, then the best of the rest, then those that have no rank."""
    order = ranked(trials, objective)
    firsts = [chosen[0] for chosen in best_of_each_study(trials, objective).values()]
    by_id = {trial.id: trial for trial in [*firsts, *order, *trials]}
    return list(by_id.values())[:max_trials]
