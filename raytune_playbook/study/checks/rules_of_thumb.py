"""The playbook's rules of thumb about a round, as warnings that leave the decision to the user.

Rules SD1, SD4, SD9, SD10, BA7. Each warning is one sentence that names its rule's reason and a remedy.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical
from raytune_playbook.study.hyperparameters.known import ADAMS, OPTIMIZERS, SECONDARY, last_part, purpose_of
from raytune_playbook.study.round import Round

_OFF: frozenset[Value] = frozenset({0, None, "none"})


@dataclass(frozen=True)
class Price:
    """What a round costs, shown before it starts (rule SD9)."""

    num_trials_of_studies: tuple[int, ...]
    num_steps: int
    num_workers: int

    @property
    def num_trials(self) -> int:
        return sum(self.num_trials_of_studies)

    def sentence(self, num_gangs: int) -> str:
        """One line for the terminal; the time is measured by the check before trial 0 and added there."""
        studies = ", ".join(
            f"{number} {'study' if number == 1 else 'studies'} x {size}"
            for size, number in Counter(self.num_trials_of_studies).items()
        )
        return (
            f"{self.num_trials} trials = {studies}, {self.num_steps} steps in all, "
            f"on {num_gangs} gang(s) of {self.num_workers} worker(s)"
        )


def price(round_: Round) -> Price:
    """The trials, steps and workers that the round asks for; the budget is split evenly over the studies."""
    num_trials = tuple(study.num_trials for study in round_.studies)
    return Price(
        num_trials_of_studies=num_trials,
        num_steps=sum(num_trials) * round_.budget.max_train_steps,
        num_workers=round_.resources.num_workers,
    )


def warnings(round_: Round) -> list[str]:
    """Every rule of thumb that the round goes against, one sentence each."""
    return [
        *_narrow_goal(round_),
        *_optimizer_roles(round_),
        *_regularizer_roles(round_),
        *_architecture_roles(round_),
        *_batch_size_roles(round_),
        *_budget(round_),
        *_checkpoints(round_),
    ]


def _narrow_goal(round_: Round) -> list[str]:
    if len(round_.scientific) <= 1:
        return []
    names = ", ".join(sorted(round_.scientific))
    return [
        f"SD1: a round's goal should be narrow, but it has {len(round_.scientific)} scientific hyperparameters "
        f"({names}); split it."
    ]


def _optimizer_roles(round_: Round) -> list[str]:
    found = []
    tuned_optimizers = _optimizers(round_)
    tuned_names = {*round_.tuned, *(round_.sets.get(name, name) for name in round_.tuned)}
    relevant = {name for optimizer in tuned_optimizers for name in OPTIMIZERS.get(optimizer, ())}
    for name in sorted(round_.defaults):
        if purpose_of(name) == "optimizer choice" and name in tuned_names:
            found.append(
                f"SD4: {name} is nuisance, but the choice of the optimizer is a scientific or fixed matter; fix it."
            )
        if purpose_of(name) != "optimizer" or name in tuned_names or name in round_.reasons:
            continue
        if name in round_.scientific:
            found.append(
                f"SD4: {name} is scientific, but its best value tells little beyond this pipeline; make it nuisance."
            )
        elif last_part(name) in relevant and last_part(name) not in SECONDARY:
            found.append(
                f"SD4: {name} is fixed, but its best value moves with every change of the pipeline; make it nuisance, "
                f"or say why in Round(reasons={{{name!r}: ...}})."
            )
    return found


def _regularizer_roles(round_: Round) -> list[str]:
    found = []
    for name, hyperparameter in sorted(round_.scientific.items()):
        if purpose_of(name) != "regularization" or name in round_.reasons:
            continue
        choices = hyperparameter.choices if isinstance(hyperparameter, Categorical) else ()
        if not any(choice in _OFF for choice in choices):
            found.append(
                f"SD4: the strength of {name} is scientific; whether to use it is the question, "
                "its strength is nuisance."
            )
    return found


def _architecture_roles(round_: Round) -> list[str]:
    return [
        f"SD4: {name} is nuisance, but it changes the cost of training; make it scientific or fix it."
        for name in sorted(round_.tuned)
        if purpose_of(name) == "architecture" and name not in round_.reasons
    ]


def _batch_size_roles(round_: Round) -> list[str]:
    changed = [
        name
        for name in sorted(round_.defaults)
        if purpose_of(name) == "batch size"
        and (name in round_.scientific or round_.fixed.get(name, round_.defaults[name]) != round_.defaults[name])
    ]
    tuned = {last_part(name) for name in round_.tuned}
    return [
        f"BA7: {name} changes, so the optimizer and regularization hyperparameters need re-tuning, "
        "but learning_rate is not nuisance; make it so."
        for name in changed
        if "learning_rate" not in tuned
    ]


def _budget(round_: Round) -> list[str]:
    found = []
    per_study, unused = divmod(round_.budget.num_trials, len(round_.studies))
    if unused:
        found.append(
            f"SD9: {round_.budget.num_trials} trials cannot be split evenly over {len(round_.studies)} studies; "
            f"each has {per_study}, {unused} are not run."
        )
    found.extend(
        f"SD9: study {study.name!r} has only {study.num_trials} different point(s) and stops after them, though its "
        f"share is {per_study} trials; widen its space, or ask for fewer trials."
        for study in round_.studies
        if study.num_trials < per_study
    )
    if round_.is_joint and round_.budget.num_trials < len(round_.arms):
        found.append(
            f"SD9: {round_.budget.num_trials} trials are too few for {len(round_.arms)} combinations of scientific "
            "values, some of which are never tried; add trials or compare fewer values."
        )
    if ADAMS & _optimizers(round_):
        allowed = _adam_allowance(per_study // len(round_.arms) if round_.is_joint else per_study)
        tuned = {last_part(name) for name in round_.tuned} & set(OPTIMIZERS["adam"])
        if extra := sorted(tuned - allowed):
            found.append(
                f"SD10: {per_study} trials per study are too few to tune Adam's {', '.join(extra)} beside "
                f"{', '.join(sorted(tuned & allowed)) or 'nothing'}; "
                f"fix {'it' if len(extra) == 1 else 'them'} or add trials."
            )
    return found


def _checkpoints(round_: Round) -> list[str]:
    interval, evaluations = round_.budget.checkpoint_interval_steps, round_.budget.evaluation_interval_steps
    if interval is None or interval == evaluations:
        return []
    return [
        f"CK3: checkpoints are written every {interval} steps and evaluations come every {evaluations}, so a trial's "
        f"best evaluation may have no checkpoint, the nearest being up to {interval // 2} steps away, and an "
        f"interruption costs up to {interval} steps; leave checkpoint_interval_steps out to keep every evaluation's."
    ]


def _adam_allowance(num_trials: int) -> set[str]:
    """Which of Adam's hyperparameters a study of this size may tune ("How should Adam's hyperparameters be tuned?")."""
    if num_trials < 10:
        return {"learning_rate"}
    if num_trials < 25:
        return {"learning_rate", "beta1"}
    if num_trials < 50:  # "if one can run substantially more than 25 trials"
        return {"learning_rate", "beta1", "epsilon"}
    return {"learning_rate", "beta1", "epsilon", "beta2"}


def _optimizers(round_: Round) -> set[str]:
    for role in (round_.scientific, round_.tuned):
        for name, hyperparameter in role.items():
            if purpose_of(name) == "optimizer choice" and isinstance(hyperparameter, Categorical):
                return {str(choice) for choice in hyperparameter.choices}
    return {str(value) for name, value in round_.fixed_values.items() if purpose_of(name) == "optimizer choice"}
