"""The rounds that measure batch sizes, made from a job's round: what changes with the size, and what must not.

See the playbook's "Choosing the batch size". Ghost batch norm's virtual size stays what the job says (rule BN4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from raytune_playbook.analysis.findings.comparison.gradient_accumulation import accumulates
from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Discrete, Float, Hyperparameter, Int, finite_values
from raytune_playbook.study.hyperparameters.known import is_learning_rate, purpose_of
from raytune_playbook.study.hyperparameters.space import active
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget

BATCH_SIZE = "batch_size"

SMALLEST_PER_WORKER = 8
"""Smaller batches are seldom wanted, and a worker's batch norm needs more than one example."""

NEVER = 1e300
"""A divergence factor that no loss exceeds: how fast a batch is trained does not depend on where the loss goes."""

TUNED_ANEW = ("optimizer", "regularization")
"""What interacts most strongly with the batch size (rule BA7)."""

END = 0.05
"""So close to the end of a range a point may have been cut off by it."""

EVALUATIONS = 100
"""So many of a trial find the steps that it takes to a target to within a hundredth of the budget."""


def batch_sizes(num_workers: int, smallest: int | None, largest: int | None) -> list[int]:
    """Powers of two times the number of workers, so that each size is one of a whole gang (rule BA1).

    Args:
        smallest, largest: none is below or above; None for 8 examples a worker, and for no bound but 2^40 of them.

    Raises:
        SpecError: there is none in between.
    """
    first = num_workers * SMALLEST_PER_WORKER if smallest is None else smallest
    sizes = [num_workers * 2**power for power in range(41)]
    found = [size for size in sizes if first <= size and (largest is None or size <= largest)]
    if first < 1 or not found:
        raise SpecError(
            f"--min and --max must leave a power of two times the {num_workers} worker(s) of a gang, but got "
            f"{first} and {largest}; widen them."
        )
    return found


def refuse_accumulation(round_: Round) -> None:
    """Refuse a round that puts a batch together from several smaller ones (rule BA8).

    Raises:
        SpecError: a hyperparameter says so.
    """
    varied = {name: finite_values(each) or () for name, each in (round_.scientific | round_.tuned).items()}
    found = {name: value for name, value in round_.fixed_values.items() if accumulates(name, value)}
    found |= {name: value for name, values in varied.items() for value in values if accumulates(name, value)}
    for name, value in found.items():
        raise SpecError(
            "Accumulated gradients only fake a larger batch and bring no throughput (rule BA8), but "
            f"{name} is {value}; set it to 1, and measure the batch sizes that the hardware holds."
        )


def main_arm(round_: Round) -> dict[str, Value]:
    """The scientific values that sizes are measured with: the workload's defaults where they are among them."""
    arms = [{name: value for name, value in arm.items() if _sets(round_, name) != BATCH_SIZE} for arm in round_.arms]
    usual = (arm for arm in arms if all(round_.defaults.get(name) == value for name, value in arm.items()))
    return next(usual, arms[0])


def other_arms(round_: Round) -> list[dict[str, Value]]:
    """The other scientific values, each of which may be another model that has to fit as well."""
    main, found = main_arm(round_), list[dict[str, Value]]()
    for arm in round_.arms:
        rest = {name: value for name, value in arm.items() if _sets(round_, name) != BATCH_SIZE}
        if rest != main and rest not in found:
            found.append(rest)
    return found


def measured_round(
    round_: Round, arm: Mapping[str, Value], size: int, steps_per_interval: int, intervals: int
) -> Round:
    """One short trial at a batch size.

    Args:
        arm: scientific values.
        steps_per_interval, intervals: between two evaluations, and how many of those.
    """
    steps = steps_per_interval * intervals
    # Shortened as they are the schedules would not fit.
    fixed = _point(round_, arm) | _of_size(round_, size) | {"warmup_steps": 0, "decay_steps": None}
    return Round(
        name=round_.name,
        goal=f"Does a global batch of {size:,} examples fit, and how fast is it trained?",
        workload=round_.workload,
        fixed=fixed,
        objective=round_.objective,
        budget=Budget(
            num_trials=1,
            max_train_steps=steps,
            evaluation_interval_steps=steps_per_interval,
            checkpoint_interval_steps=steps,
            divergence_factor=NEVER,
        ),
        resources=round_.resources,
        input_pipeline=round_.input_pipeline,
        seed=round_.seed,
    )


def steps_round(round_: Round, sizes: list[int], target: float, num_trials: int) -> Round:
    """Trials that end when a target is reached, with what interacts with the batch size tuned anew at each (rule BA7).

    Every size has as many trials over the same space, and each of them may take the job's number of steps (rules SD11,
    SD13). The learning rate does not decay: else a trial reaches its target when the rate has fallen, at any size.

    Args:
        sizes: to compare; each is a study.
        num_trials: of each.

    Raises:
        SpecError: the round tunes nothing that interacts with the batch size.
    """
    arm = main_arm(round_)
    tuned = tuned_anew(round_)
    if not tuned:
        raise SpecError(
            "Steps to a target are compared with the hyperparameters of the optimizer and of regularization tuned anew "
            f"at each batch size (rule BA7), but {round_.name!r} tunes none; make learning_rate nuisance."
        )
    point = {name: value for name, value in _point(round_, arm).items() if name not in tuned and name != BATCH_SIZE}
    interval = max(1, min(round_.budget.evaluation_interval_steps, round_.budget.max_train_steps // EVALUATIONS))
    rare = interval * max(1, math.ceil(round_.budget.evaluation_interval_steps / interval))
    evaluation = {name: value for name, value in _of_size(round_, max(sizes)).items() if name != BATCH_SIZE}
    return Round(
        name=round_.name,
        goal=f"How many steps to a {round_.objective.name} of {target:g} does each batch size take?",
        workload=round_.workload,
        scientific={BATCH_SIZE: Discrete(sizes)},
        nuisance=tuned,
        fixed=point | evaluation | {"schedule": "constant", "decay_steps": None},
        objective=round_.objective,
        budget=Budget(
            num_trials=num_trials * len(sizes),
            max_train_steps=round_.budget.max_train_steps,
            evaluation_interval_steps=interval,
            checkpoint_interval_steps=rare,
            divergence_factor=round_.budget.divergence_factor,
            target=target,
        ),
        resources=round_.resources,
        input_pipeline=round_.input_pipeline,
        seed=round_.seed,
    )


def tuned_anew(round_: Round) -> dict[str, Hyperparameter]:
    """The round's nuisance hyperparameters of the optimizer and of regularization, as the workload calls them."""
    return {
        _sets(round_, name): hyperparameter.model_copy(update={"when": {}})
        for name, hyperparameter in active(round_.tuned, main_arm(round_)).items()
        if purpose_of(name) in TUNED_ANEW
    }


def decaying_schedule(round_: Round) -> str | None:
    """The job's schedule, where its learning rate does not stay constant."""
    schedule = _point(round_, main_arm(round_)).get("schedule", round_.defaults.get("schedule"))
    return None if schedule == "constant" else str(schedule)


def at_ends(space: Mapping[str, Hyperparameter], values: Mapping[str, Value]) -> tuple[str, ...]:
    """The hyperparameters of a point that lie within a twentieth of their range from its end."""
    places = {name: each.to_unit(values.get(name)) for name, each in space.items() if isinstance(each, Float | Int)}
    return tuple(name for name, place in places.items() if place is not None and not END <= place <= 1 - END)


# ---------------------------------------------------------------------- the values of a round without what varies


def _point(round_: Round, arm: Mapping[str, Value]) -> dict[str, Value]:
    """Every value that is not the workload's default, by the workload's names: one point of the round.

    A learning rate is at the low end of its range, so that training a few steps is stable; all else in the middle.
    """
    exists = active(round_.space, arm)
    values: dict[str, Value] = {name: None for name in round_.space if name not in exists and name in round_.defaults}
    values |= {
        _sets(round_, name): value for name, value in arm.items() if value is not None or name in round_.defaults
    }
    values |= {_sets(round_, name): _chosen(round_, name, each) for name, each in exists.items()}
    return round_.fixed | values


def _chosen(round_: Round, name: str, hyperparameter: Hyperparameter) -> Value:
    if round_.configurations:
        return round_.configurations[0][name]
    return hyperparameter.from_unit(0.0 if is_learning_rate(name) else 0.5)


def _of_size(round_: Round, size: int) -> dict[str, Value]:
    """The size, and evaluation batches that are no smaller (rule EV1)."""
    stated = round_.fixed_values.get("evaluation_batch_size")
    is_too_small = isinstance(stated, int) and stated < size
    values: dict[str, Value] = {BATCH_SIZE: size}
    return values | {"evaluation_batch_size": size} if is_too_small else values


def _sets(round_: Round, name: str) -> str:
    return round_.sets.get(name, name)
