"""What does each scientific value cost? (Rule IN20.)

A value that is a little better and costs much more is not always the one to take, so time per step, memory and the
number of parameters stand beside the error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.wording import bytes_text, count_text, duration_text
from raytune_playbook.records.types import Training
from raytune_playbook.study.wording import values_text

RULE, QUESTION = "IN20", "What does each scientific value cost?"

MUCH_SLOWER = 1.5
"""Other work on a machine makes steps slower, too; this factor of the medians is more than that."""

MUCH_MORE = 1.25
"""The factor of parameters or memory that counts as much more."""


@dataclass(frozen=True)
class Cost:
    """What a value costs; None where it was not recorded.

    Fields:
        step_s: the median over its completed trials.
        num_parameters, peak_memory_bytes: the most of any of them.
    """

    step_s: float | None
    num_parameters: int | None
    peak_memory_bytes: int | None


def cost_of(arm: Arm) -> Cost:
    """What the completed trials of an arm took."""
    trainings = [trial.training for trial in arm.ranked if trial.training is not None]
    steps = [time for training in trainings if (time := _step_s(training))]
    return Cost(
        median(steps) if steps else None,
        max((training.num_parameters for training in trainings if training.num_parameters), default=None),
        max((training.peak_memory_bytes for training in trainings if training.peak_memory_bytes), default=None),
    )


def _step_s(training: Training) -> float | None:
    if not training.num_steps:
        return None
    time_by_part = training.time_by_part
    if time_by_part is not None and time_by_part.total_s > 0:
        return time_by_part.total_s / training.num_steps
    return max(0.0, training.train_s - (training.evaluations_s or 0.0)) / training.num_steps


@dataclass(frozen=True)
class _Kind:
    """A kind of cost: what a step takes of it, the factor that counts as much more, and its numbers as text."""

    name: str
    of: Callable[[Cost], float | None]
    much_more: float
    text: Callable[[float], str]


_KINDS = (
    _Kind("the time of a step", lambda found: found.step_s, MUCH_SLOWER, duration_text),
    _Kind("the memory", lambda found: found.peak_memory_bytes, MUCH_MORE, bytes_text),
    _Kind("the parameters", lambda found: found.num_parameters, MUCH_MORE, lambda number: count_text(round(number))),
)


def cost(evidence: Evidence) -> Sequence[Finding]:
    """Looks at whether the best value costs much more than another; of equals the cheapest is looked at."""
    costs = [(arm, cost_of(arm)) for arm in evidence.arms if arm.best is not None]
    if not any(_numbers(found) for _, found in costs):
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, "What trials cost was not recorded.")]
    best = max(_worth(evidence, arm) for arm, _ in costs)
    tied = [pair for pair in costs if _worth(evidence, pair[0]) == best]
    arm, own = min(tied, key=lambda pair: (len(_dearer(pair, costs)), pair[1].step_s or 0.0))
    others, dearer = [pair for pair in costs if pair[0] is not arm], _dearer((arm, own), costs)
    if dearer:
        sentence = f"The best value, {_name(arm)}, takes {' and '.join(dearer)}."
        proposal = Proposal(f"Weigh what {_name(arm)} gains against its cost before you adopt it.")
        return [Finding(RULE, QUESTION, Status.LOOK, sentence, _numbers(own), studies=(arm.study,), proposal=proposal)]
    begin = "The best value is not much dearer than any other: a step" if others else "A step"
    step, memory, parameters = (kind.of(own) for kind in _KINDS)
    parts = [f"{begin} takes {duration_text(step)}" if step is not None else "The time of its steps is not known"]
    parts += [f"a worker {bytes_text(memory)}"] if memory is not None else []
    parts += [f"the model has {count_text(round(parameters))} parameters"] if parameters is not None else []
    return [Finding(RULE, QUESTION, Status.PASSES, f"{', '.join(parts)}.", _numbers(own))]


def _worth(evidence: Evidence, arm: Arm) -> float:
    """The objective of its best trial, large where it is good."""
    objective = arm.best.objective if arm.best and arm.best.objective is not None else 0.0
    return -objective if evidence.objective.goal == "minimize" else objective


def _numbers(found: Cost) -> dict[str, float]:
    names = ("step_s", "num_parameters", "peak_memory_bytes")
    return {name: value for name in names if (value := getattr(found, name)) is not None}


def _dearer(pair: tuple[Arm, Cost], costs: Sequence[tuple[Arm, Cost]]) -> list[str]:
    """Of what kinds a value takes much more than another, in words."""
    others = [other for other in costs if other[0] is not pair[0]]
    return [sentence for kind in _KINDS if (sentence := _dearer_by(kind, pair[1], others))]


def _dearer_by(kind: _Kind, own: Cost, others: Sequence[tuple[Arm, Cost]]) -> str | None:
    """``2.3 times the time of a step with batch_norm=device (28 ms, not 12 ms)``, of the cheapest of the others."""
    known = [(value, arm) for arm, found in others if (value := kind.of(found))]
    mine = kind.of(own)
    if mine is None or not known:
        return None
    cheapest, arm = min(known, key=lambda pair: pair[0])
    if mine < kind.much_more * cheapest:
        return None
    return f"{mine / cheapest:.2g} times {kind.name} with {_name(arm)} ({kind.text(mine)}, not {kind.text(cheapest)})"


def _name(arm: Arm) -> str:
    return values_text(arm.values) or arm.study
