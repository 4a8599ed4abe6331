"""The points of a short round that are trained again for longer, and the round that does it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.evidence import same_text
from raytune_playbook.analysis.judging.best import ranked
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.procedures.lengthen.comparison import Compared
from raytune_playbook.procedures.lengthen.schedules import extended_schedule
from raytune_playbook.records.types import Outcome
from raytune_playbook.search.suggest import values_at
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import is_same
from raytune_playbook.study.hyperparameters.space import arm_values
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec


@dataclass(frozen=True)
class Point:
    """A completed trial, and what it was trained with.

    Fields:
        trial: judged by the round's objective.
        arm: the scientific values that are compared one by one, by the workload's names.
        values: of all of the workload's hyperparameters.
    """

    trial: Trial
    arm: Mapping[str, Value]
    values: Mapping[str, Value]


def points_of(
    round_: Round, studies: Sequence[StudySpec], trials: Sequence[Trial], objective: Objective
) -> list[Point]:
    """The completed trials of a round, or of a longer one of it, as points; the best first, none twice.

    Args:
        round_: whose hyperparameters and scientific values count.
        studies: of the trials.
    """
    by_name = {study.name: study for study in studies}
    compared = compared_names(round_)
    found: dict[tuple[str, ...], Point] = {}
    for trial in ranked(trials, objective):
        given = values_at(by_name[trial.study], trial.index)  # as they were, which a table need not give back
        values = {name: given[name] for name in round_.defaults}
        arm = {name: values[name] for name in compared}
        found.setdefault(tuple(same_text(value) for value in values.values()), Point(trial, arm, values))
    return list(found.values())


def compared_names(round_: Round) -> list[str]:
    """The scientific hyperparameters whose values are compared one by one, as the workload calls them."""
    names = [name for name, given in sorted(round_.scientific.items()) if arm_values(given) is not None]
    return list(dict.fromkeys(round_.sets.get(name, name) for name in names))


def varied_names(round_: Round) -> list[str]:
    """All hyperparameters that a round varies, as the workload calls them."""
    names = [*round_.scientific, *round_.tuned]
    return list(dict.fromkeys(round_.sets.get(name, name) for name in names))


def chosen(points: Sequence[Point], num_points: int) -> list[Point]:
    """The best points of each scientific value, as many of each (rule SD9): ``num_points`` in all, at least one each.

    The best of all values come first, then the second best of each, and so on.
    """
    by_arm = _by_arm(points)
    share = max(1, num_points // max(1, len(by_arm)))
    return [own[place] for place in range(share) for own in by_arm if place < len(own)]


def share_text(points: Sequence[Point], num_chosen: int, num_asked: int) -> str | None:
    """Why another number of points than was asked for is trained again; None where it is the same.

    Args:
        points: from which they were chosen.
    """
    num_values = len(_by_arm(points))
    if num_chosen == num_asked:
        return None
    share = max(1, num_asked // num_values)
    if num_chosen < num_values * share:
        return f"Not {num_asked}: no more were completed{f', at most {share} of each value' if num_values > 1 else ''}."
    return (
        f"Not {num_asked}: each of the {num_values} scientific values has as many, {share}, so that none is better by "
        "more trials alone (SD9)."
    )


def _by_arm(points: Sequence[Point]) -> list[list[Point]]:
    """The points of each scientific value, in their order."""
    found: dict[tuple[str, ...], list[Point]] = {}
    for point in points:
        found.setdefault(tuple(map(same_text, point.arm.values())), []).append(point)
    return list(found.values())


def longer_round(round_: Round, points: Sequence[Point], short_steps: int, long_steps: int) -> Round:
    """A round that trains these points, each with its schedule extended; point k is its trial k."""
    extended = [extended_schedule(point.values, short_steps, long_steps) for point in points]
    differing = [
        name for name in round_.defaults if any(not is_same(each[name], extended[0][name]) for each in extended)
    ]
    listed = list(dict.fromkeys([*varied_names(round_), *differing]))
    settled = {
        name: value
        for name, value in extended[0].items()
        if name not in listed and not is_same(value, round_.defaults[name])
    }
    interval = math.ceil(round_.budget.evaluation_interval_steps * long_steps / short_steps)
    return alike(
        round_,
        long_steps,
        configurations=tuple({name: each[name] for name in listed} for each in extended) if listed else (),
        fixed=settled,
        num_trials=len(points),
        evaluation_interval_steps=min(interval, long_steps),
    )


def alike(
    round_: Round,
    max_train_steps: int,
    *,
    fixed: Mapping[str, Value],
    num_trials: int,
    evaluation_interval_steps: int,
    **roles: object,
) -> Round:
    """A round of the same workload, resources and objective for so many steps, with other roles.

    A limit of time and a target are those of the short round alone.

    Args:
        fixed: every value that differs from the workload's default.
        roles: ``configurations`` or ``scientific``; nothing else varies.
    """
    budget = round_.budget.model_copy(
        update={
            "num_trials": num_trials,
            "max_train_steps": max_train_steps,
            "evaluation_interval_steps": evaluation_interval_steps,
            "checkpoint_interval_steps": None,
            "wall_clock_s": None,
            "target": None,
        }
    )
    none: dict[str, object] = {"scientific": {}, "nuisance": {}, "configurations": (), "search": "halton"}
    return round_.model_copy(update=none | {"fixed": dict(fixed), "budget": budget, **roles})


def compared_points(
    round_: Round, points: Sequence[Point], trials: Sequence[Trial], objective: Objective
) -> list[Compared]:
    """The points at both lengths.

    Args:
        points: that were trained again.
        trials: of the longer round, in whose list point k is trial k; those that crashed tell nothing.
    """
    sign = 1.0 if objective.goal == "minimize" else -1.0
    by_index = {trial.index: trial for trial in trials if trial.repeat == 0}
    names = varied_names(round_)
    found = []
    for index, point in enumerate(points):
        long = by_index.get(index)
        if long is None or long.outcome not in (Outcome.COMPLETED, Outcome.INFEASIBLE):
            continue
        cost = math.inf if long.objective is None else sign * long.objective
        values = {name: point.values[name] for name in names}
        found.append(Compared(point.trial.text, point.arm, values, sign * (point.trial.objective or 0.0), cost))
    return found
