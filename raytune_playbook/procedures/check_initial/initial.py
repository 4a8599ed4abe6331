"""The initial configuration of a job: one point of its round, the workload's own defaults wherever the round allows.

See the playbook's "Choosing the initial configuration". What is fixed stays as it is. Of what the round varies, each
hyperparameter takes its default where that is one of its values; else the first of its scientific values or choices, or
the middle of its range on the range's own scale. A regularizer that the workload has off by default stays off: what is
simple comes first.
"""

from __future__ import annotations

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Hyperparameter, finite_values
from raytune_playbook.study.hyperparameters.known import last_part, purpose_of
from raytune_playbook.study.hyperparameters.space import active, conditions_first
from raytune_playbook.study.round import Round


def initial_values(round_: Round) -> dict[str, Value]:
    """Of every hyperparameter that the round varies, by the workload's name for it: ``learning_rate`` also where the
    round varies ``adam.learning_rate``."""
    arm: dict[str, Value] = {}
    for name in conditions_first(round_.scientific):
        hyperparameter = round_.scientific[name]
        exists = hyperparameter.is_active(arm)
        arm[name] = _initial(name, hyperparameter, _default(round_, name), is_scientific=True) if exists else None
    if round_.configurations:
        tuned = dict(round_.configurations[0])
    else:
        exist = active(round_.tuned, arm)
        tuned = {
            name: _initial(name, each, _default(round_, name)) if name in exist else None
            for name, each in round_.tuned.items()
        }
    given = arm | tuned
    values = {name: value for name, value in given.items() if name in round_.defaults}
    return values | {
        target: given[name] for name, target in round_.sets.items() if name in given and given[name] is not None
    }


def initial_round(round_: Round) -> Round:
    """A round of one trial: the initial configuration, for as many steps as the job says."""
    return fixed_at(round_, initial_values(round_), "Is the initial configuration fast, and better than chance?")


def fixed_at(round_: Round, values: dict[str, Value], goal: str) -> Round:
    """A round of one trial of the same workload, with everything fixed.

    Args:
        values: that differ from what the round fixes.
        goal: of the round.
    """
    return round_.model_copy(
        update={
            "goal": goal,
            "scientific": {},
            "nuisance": {},
            "configurations": (),
            "search": "halton",
            "fixed": {name: value for name, value in round_.fixed.items() if name in round_.defaults} | values,
            "reasons": {
                name: "It is one configuration." for name in round_.defaults if purpose_of(name) == "optimizer"
            },
            "budget": round_.budget.model_copy(update={"num_trials": 1}),
        }
    )


def _default(round_: Round, name: str) -> Value:
    return round_.defaults.get(name, round_.defaults.get(last_part(name)))


def _initial(name: str, hyperparameter: Hyperparameter, default: Value, *, is_scientific: bool = False) -> Value:
    is_off = purpose_of(name) == "regularization" and default == 0
    if hyperparameter.to_unit(default) is not None or (is_off and not is_scientific):
        return default
    values = finite_values(hyperparameter) if is_scientific or isinstance(hyperparameter, Categorical) else None
    return values[0] if values else hyperparameter.from_unit(0.5)
