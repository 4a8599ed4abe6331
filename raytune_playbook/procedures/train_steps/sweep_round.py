"""The round of one sweep: a constant learning rate, without augmentation and regularization (rule LN2)."""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.procedures.check_initial.initial import initial_values
from raytune_playbook.procedures.train_steps.sweep import Length
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.known import purpose_of
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective

LEARNING_RATE = "learning_rate"

_CONSTANT: dict[str, Value] = {
    "schedule": "constant",
    "decay_steps": None,
    "warmup_steps": 0,
    "averaging": "none",
    "data_augmentation": False,
}


def centre_of(round_: Round) -> float:
    """The initial configuration's learning rate."""
    values = round_.defaults | round_.fixed | initial_values(round_)
    return float(values[LEARNING_RATE] or 0.0)


def switched_off(round_: Round) -> dict[str, Value]:
    """Schedule, averaging, augmentation and regularizers, with the values at which they do nothing."""
    numbers = {
        name: 0.0
        for name, default in round_.defaults.items()
        if purpose_of(name) == "regularization" and isinstance(default, int | float) and not isinstance(default, bool)
    }
    return {name: value for name, value in _CONSTANT.items() if name in round_.defaults} | numbers


def sweep_round(
    round_: Round, learning_rates: Sequence[float], length: Length, objective: Objective, target: float
) -> Round:
    """A round whose trials end when they fit the training set.

    Args:
        round_: the job's.
        objective, target: what is to be reached, in training.
    """
    fixed = round_.fixed | initial_values(round_) | switched_off(round_)
    budget = round_.budget.model_copy(
        update={
            "num_trials": len(learning_rates),
            "max_train_steps": length.num_steps,
            "evaluation_interval_steps": length.interval_steps,
            "num_best_checkpoints": 1,
            "checkpoint_interval_steps": length.num_steps,
            "target": target,
        }
    )
    return round_.model_copy(
        update={
            "goal": f"Which constant learning rate fits the training set within {length.num_steps} steps?",
            "scientific": {},
            "nuisance": {},
            "configurations": tuple({LEARNING_RATE: rate} for rate in learning_rates),
            "search": "halton",
            "fixed": {name: fixed[name] for name in fixed if name in round_.defaults and name != LEARNING_RATE},
            "reasons": {
                name: "The learning rate alone is swept." for name in round_.defaults if purpose_of(name) == "optimizer"
            },
            "objective": objective,
            "budget": budget,
        }
    )


def noise_of(round_: Round) -> tuple[str, ...]:
    """What the job has that makes gradients noisier than in the sweep, and may take more steps."""
    off = switched_off(round_)
    known = round_.defaults | round_.fixed
    varied = {round_.sets.get(name, name) for name in (*round_.scientific, *round_.tuned)}
    names = [name for name in off if purpose_of(name) == "regularization"]
    return tuple(name for name in names if name in varied or known[name] != 0)
