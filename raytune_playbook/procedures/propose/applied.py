"""A round with the changes of a next study made to it."""

from __future__ import annotations

from raytune_playbook.analysis.findings.changes import Drop, Fix, NumTrials, SearchOver, TrainSteps
from raytune_playbook.analysis.next_study.next_study import NextStudy, ProposedChange
from raytune_playbook.procedures.propose.roles import Roles, dropped, fixed, searched
from raytune_playbook.study.hyperparameters.space import conditions_first
from raytune_playbook.study.round import MAX_STUDIES, Round


def applied(round_: Round, next_study: NextStudy, name: str, *, num_trials: int | None = None) -> Round:
    """The next round: the same question to the same workload, with the changes of its next study.

    Roles, reasons, conditions and the seed stay where no change is about them, and so does the number of trials that
    each study has.

    Args:
        name: of the next round.
        num_trials: of all its studies, in place of what follows from the changes.

    Raises:
        SpecError: a change is about a hyperparameter that the round does not have, or breaks a rule of rounds.
    """
    new = _with_roles(round_, next_study).model_copy(update={"name": name})
    steps = [each.change for each in next_study.changes if isinstance(each.change, TrainSteps)]
    if steps:
        longer = {"max_train_steps": steps[-1].max_train_steps}
        new = new.model_copy(update={"budget": new.budget.model_copy(update=longer)})
    return new.extended(num_trials if num_trials is not None else _num_trials(round_, new, next_study))


def _with_roles(round_: Round, next_study: NextStudy) -> Round:
    given = round_.scientific, round_.nuisance, round_.configurations, round_.fixed, round_.reasons
    roles = Roles(*given, frozenset(round_.defaults))
    # First what may exist under some scientific values only, then these: what depends on a value goes with it.
    order = conditions_first(round_.scientific)[::-1]
    places = {name: place for place, name in enumerate(order, 1)}
    for proposed in sorted(next_study.changes, key=lambda each: places.get(_name(each), 0)):
        match proposed.change:
            case SearchOver(name, hyperparameter):
                roles = searched(roles, name, hyperparameter)
            case Fix(name, value):
                roles = fixed(roles, name, value, proposed.findings[0].sentence if proposed.findings else None)
            case Drop(name, values):
                roles = dropped(roles, name, values)
    new = round_.model_copy(
        update={
            "scientific": dict(roles.scientific),
            "nuisance": dict(roles.nuisance),
            "configurations": tuple(map(dict, roles.configurations)),
            "fixed": dict(roles.fixed),
            "reasons": dict(roles.reasons),
            "search": "halton" if round_.search == "grid" else round_.search,
            "budget": round_.budget.model_copy(update={"num_trials": max(round_.budget.num_trials, MAX_STUDIES)}),
        }
    )
    is_grid = round_.search == "grid" and all(1 <= len(study.space) <= 2 and not study.arms for study in new.studies)
    return new.model_copy(update={"search": "grid"}) if is_grid else new


def _name(proposed: ProposedChange) -> str:
    change = proposed.change
    return change.name if isinstance(change, SearchOver | Fix | Drop) else ""


def _num_trials(old: Round, new: Round, next_study: NextStudy) -> int:
    """Of all studies: each has as many as before, or as a change says; in a joint study each arm has."""
    wanted = [each.change.per_study for each in next_study.changes if isinstance(each.change, NumTrials)]
    if not wanted and len(old.arms) == len(new.arms):
        return old.budget.num_trials  # what could not be split evenly included
    per_study = wanted[-1] if wanted else old.budget.num_trials // len(old.studies)
    if old.is_joint == new.is_joint and (wanted or not old.is_joint):
        return per_study * len(new.studies)
    per_arm = per_study / len(old.arms) if old.is_joint else per_study
    return max(len(new.arms), round(per_arm * len(new.arms)))
