"""Whether trials were trained for too few steps or for too many: what curves' ends and best steps say together.

See the playbook's "Determining the number of steps for each training run". Two findings speak of it (rules IN8 and
IN14); what they propose comes from here, so that they never contradict each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.changes import Change, Fix, TrainSteps
from raytune_playbook.analysis.findings.curves.looked_at import (
    DECAYS,
    TRAIN,
    VALIDATION,
    WARMUP_SHARE,
    best_few,
    fixed_values,
    num_examples,
    number_of,
    value_of,
    wrong_examples,
)
from raytune_playbook.analysis.findings.finding import Proposal
from raytune_playbook.analysis.plots.best_steps import best_steps
from raytune_playbook.analysis.series.noise import (
    MIN_POINTS,
    QUANTIZATION,
    noise_about,
    running_mean,
    significance,
    trend,
)
from raytune_playbook.analysis.series.stacks import Floats, Stack, evaluated
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import count_text
from raytune_playbook.study.frozen import Value

LATE_SHARE, EARLY_SHARE = 0.75, 0.1
"""The playbook's last 25% and first 10% of training."""

MOSTLY, ALWAYS = 0.75, 0.9
"""Shares of trials: "consistently", and "always"."""

FEWEST_TRIALS = 5
"""Best steps of fewer are no distribution."""

LONG_BEFORE = 0.25
"""Training that is saturated within this share of its steps is so long before its end."""

MIN_CONSTANT_SHARE = 0.25
"""Where at least so large a part of training comes before the decay, that part tells whether longer training helps."""

_MIN_GAIN = {False: 0.02, True: 0.05}
"""What the last quarter must gain, as a share of the metric, by whether the learning rate decays: then a part of it is
what every end of a decay brings."""

_SIGNIFICANT = 2.3
_FEWEST_EXAMPLES = 4
"""So many validation examples that come right are hardly chance: all of four changes go one way in 1 of 16 cases."""


@dataclass(frozen=True)
class End:
    """How the best few trials of an arm ended, on average.

    Fields:
        trials: the best first.
        share: of the training that is looked at as its end.
        is_before_decay: whether that is the end of the constant part, for what follows is a decay.
        gain: of the validation metric over it, as a share of the metric; below zero where it got worse.
        is_improving: whether that is more than noise, and enough to matter.
        saturated_share: from which share of training on the metric is as at the end, on validation and in training.
        is_training_known: whether the metric in training was recorded; without it validation alone tells.
    """

    arm: Arm
    trials: tuple[Trial, ...]
    share: float
    is_before_decay: bool
    gain: float
    is_improving: bool
    saturated_share: float
    is_training_known: bool


@dataclass(frozen=True)
class TrainingLength:
    """What the round says of its number of training steps.

    Fields:
        ends: of the arms whose best trials were evaluated often enough.
        shares: of training at which trials of the better half of each arm were best.
        max_train_steps: of the round.
        decays: whether the best trials' learning rates fall to the end, after no constant part that would tell more:
            then they improve at the end however long training is, which does not tell whether more steps help.
        is_late, is_early: what the playbook says of best steps: consistently in the last 25%, always in the first 10%.
            Where the learning rate decays the best trials have to improve at the end as well.
    """

    ends: tuple[End, ...]
    shares: tuple[float, ...]
    max_train_steps: int
    decays: bool
    is_late: bool
    is_early: bool

    @property
    def improving(self) -> list[End]:
        return [end for end in self.ends if end.is_improving]

    @property
    def is_saturated(self) -> bool:
        """Whether all arms are, long before the end."""
        return bool(self.ends) and all(end.saturated_share <= LONG_BEFORE for end in self.ends)

    @property
    def asks_for_more(self) -> bool:
        return bool(self.improving) or self.is_late

    @property
    def asks_for_fewer(self) -> bool:
        return self.is_saturated or self.is_early


def training_length(evidence: Evidence) -> TrainingLength:
    """Go through the arms' best trials."""
    arms = evidence.arms
    decay = any(value_of(arm.best, "schedule") in DECAYS for arm in arms if arm.best is not None)
    threshold = _SIGNIFICANT + 0.3 * math.log(max(1, len(arms)))
    ends = tuple(end for arm in arms if (end := _end_of(evidence, arm, decay, threshold)) is not None)
    told = [end for end in ends if end.is_before_decay]
    decays = decay and not any(end.is_improving for end in told) and (not ends or len(told) < len(ends))
    better = [
        pair
        for steps in best_steps(evidence)
        for pair in zip(steps.trials[: -(-len(steps.trials) // 2)], steps.shares, strict=False)
    ]
    trials, shares = [trial for trial, _ in better], np.array([share for _, share in better])
    is_enough = len(shares) >= FEWEST_TRIALS
    is_late = is_enough and float(np.mean(shares > LATE_SHARE)) >= MOSTLY
    is_late = is_late and _last_quarter_gains(evidence, trials, decay)
    # At the end of a decay every trial is best, however long it is.
    is_late = is_late and (not decay or any(end.is_improving for end in ends))
    is_early = is_enough and float(np.mean(shares <= EARLY_SHARE)) >= ALWAYS
    max_train_steps = max((study.max_train_steps for study in evidence.studies), default=0)
    return TrainingLength(ends, tuple(shares.tolist()), max_train_steps, decays, is_late, is_early)


def longer(evidence: Evidence, length: TrainingLength) -> Proposal:
    """Twice as many steps (rule LN5: the schedule is extended, not scaled).

    Where the learning rate decays over all of training, its end improves whatever the length: to ask all trials for
    more would never end, so a person tries it with few (the playbook's "very few long runs on good points").
    """
    steps = 2 * length.max_train_steps
    if length.decays:
        return Proposal(
            f"Train the best few points again for {count_text(steps)} steps (a round of configurations; a linear "
            "decay keeps its length, a cosine stretches), and train all trials so long only if these get better."
        )
    schedules = fixed_values(evidence, "schedule")
    more = "."
    if schedules and schedules <= set(DECAYS):
        more = "; keep the length of the decay, and lengthen what comes before it."
    elif schedules == {"constant"}:
        more = ", or let the learning rate decay (schedule cosine or linear)."
    instead = f"{count_text(steps)} steps instead of {count_text(length.max_train_steps)}"
    return Proposal(f"Train for {instead}{more}", (TrainSteps(steps),))


def shorter(evidence: Evidence, length: TrainingLength) -> Proposal | None:
    """Twice the steps that were needed, in whole evaluation intervals; None where that is hardly fewer."""
    shares = [end.saturated_share for end in length.ends] if length.is_saturated else []
    if length.is_early:
        shares.append(float(np.max(length.shares)))
    interval = max((study.evaluation_interval_steps for study in evidence.studies), default=1)
    steps = max(1, math.ceil(2 * max(shares, default=1.0) * length.max_train_steps / interval)) * interval
    steps = max(steps, math.ceil(max(_numbers(fixed_values(evidence, "warmup_steps")), default=0) / WARMUP_SHARE))
    if steps > 0.75 * length.max_train_steps:
        return None
    changes: list[Change] = [TrainSteps(steps)]
    if any(decay_steps > steps for decay_steps in _numbers(fixed_values(evidence, "decay_steps"))):
        changes.append(Fix("decay_steps", steps))
    sentence = (
        f"{count_text(steps)} steps instead of {count_text(length.max_train_steps)} would do, for more trials at the "
        "same cost; when in doubt stay with more."
    )
    return Proposal(sentence, tuple(changes))


def _numbers(values: Iterable[Value]) -> list[float]:
    return [float(value) for value in values if isinstance(value, int | float)]


# ---------------------------------------------------------------------- one arm's end


def _end_of(evidence: Evidence, arm: Arm, decay: bool, threshold: float) -> End | None:
    whole = _with_best(evidence, arm, VALIDATION)
    if whole is None or whole.values.shape[1] < MIN_POINTS:
        return None
    constant = _constant_part(whole) if decay else None
    stack = constant or whole
    decays = decay and constant is None
    mean, num_points = stack.values.mean(axis=0, keepdims=True), stack.values.shape[1]
    window = max(5, math.ceil(num_points / 4))
    num = num_examples(evidence, stack.trials[0], VALIDATION) if wrong_examples(evidence, stack) is not None else None
    found = trend(mean[:, -window:], noise_from=mean[:, -2 * window :], smallest=QUANTIZATION / num if num else 0.0)
    change, level = float(found.change[0]), abs(float(mean[0, -window:].mean()))
    last_half = float(trend(mean[:, -max(3, window // 2) :]).change[0])
    is_improving = (
        float(found.significance[0]) < -threshold
        and -change >= _MIN_GAIN[decays] * level
        and (num is None or -change * num >= _FEWEST_EXAMPLES)
        and last_half < -0.1 * change  # and it has not turned
    )
    saturated = [_saturated_share(whole)]
    in_training = _with_best(evidence, arm, TRAIN)
    is_training_known = in_training is not None and in_training.values.shape[1] >= MIN_POINTS
    if in_training is not None and is_training_known:
        saturated.append(_saturated_share(in_training))
    share = float((stack.steps[-1] - stack.steps[-window]) / whole.steps[-1])
    gain = -change / level if level else 0.0
    return End(arm, stack.trials, share, constant is not None, gain, is_improving, max(saturated), is_training_known)


def _constant_part(stack: Stack) -> Stack | None:
    """What comes before the earliest decay of some trials; None where that is too little to tell anything."""
    num_steps = int(stack.steps[-1])
    starts = [num_steps - _decay_steps(trial, num_steps) for trial in stack.trials]
    is_before = stack.steps <= min(starts)
    if min(starts) < MIN_CONSTANT_SHARE * num_steps or is_before.sum() < MIN_POINTS:
        return None
    return replace(stack, steps=stack.steps[is_before], values=stack.values[:, is_before])


def _decay_steps(trial: Trial, num_steps: int) -> float:
    """How many of a trial's last steps its learning rate decays over."""
    if value_of(trial, "schedule") not in DECAYS:
        return 0
    steps = number_of(trial, "decay_steps")
    return num_steps if steps is None else steps


def _with_best(evidence: Evidence, arm: Arm, split: str) -> Stack | None:
    """The curves of an arm's best few trials that were evaluated at the same steps as the best."""
    stacks = evaluated(evidence, best_few(arm), split)
    best = None if arm.best is None else arm.best.id
    return next((stack for stack in stacks if stack.trials[0].id == best), None)


def _saturated_share(stack: Stack) -> float:
    """From which share of training on the mean of some curves stays as it is at the end."""
    mean = stack.values.mean(axis=0, keepdims=True)
    num_points = mean.shape[1]
    level = float(mean[0, -max(2, num_points // 4) :].mean())
    noise = float(noise_about(mean[:, -max(5, num_points // 2) :], 1).deviation[0])
    tolerance = max(0.05 * abs(level), 0.005 * abs(float(mean[0, 0]) - level), 3 * noise)
    length = max(1, num_points // 20)
    is_away = np.abs(running_mean(mean, length)[0] - level) > tolerance
    away = np.flatnonzero(is_away[1:] & is_away[:-1])  # a single one may be chance
    first = int(away[-1]) + 2 if len(away) else 0
    return float(stack.steps[min(num_points - 1, first + length // 2)] / stack.steps[-1]) if stack.steps[-1] else 1.0


def _last_quarter_gains(evidence: Evidence, trials: Sequence[Trial], decays: bool) -> bool:
    """Whether trials are better in their last quarter than in the one before, by enough to matter and not by chance;
    of trials without curves their best steps alone tell."""
    gains: list[Floats] = []
    for stack in evaluated(evidence, trials, evidence.objective.split):
        shares = stack.steps / max(1, stack.steps[-1])
        last, before = shares > LATE_SHARE, (shares > 0.5) & (shares <= LATE_SHARE)
        if last.any() and before.any():
            levels = stack.values[:, last].mean(axis=1)
            gains.append((stack.values[:, before].mean(axis=1) - levels) / np.maximum(np.abs(levels), 1e-12))
    if not gains:
        return True
    of_all = np.concatenate(gains)
    if len(of_all) < 2:
        return False
    mean, error = of_all.mean(keepdims=True), of_all.std(ddof=1, keepdims=True) / math.sqrt(len(of_all))
    is_real = float(significance(mean, error, np.array([len(of_all) - 1.0]))[0]) > _SIGNIFICANT
    return is_real and float(np.median(of_all)) >= _MIN_GAIN[decays]
