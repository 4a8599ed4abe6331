"""Which trials were unstable: what a training loss and gradient norms look like when optimization fails for a while.

See the playbook's "How can optimization failures be debugged and mitigated?": instability at the start of training, and
sudden instability in the middle of it, are worth telling apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.curves.looked_at import number_of
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves
from raytune_playbook.analysis.series.noise import MIN_POINTS, running_mean
from raytune_playbook.analysis.series.stacks import Floats, Stack, stacked, training_loss
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.columns import GRADIENT_NORM, LOSS
from raytune_playbook.records.types import Outcome

EARLY_STEPS, EARLY_SHARE = 500, 0.1
"""Instability is early within this share of training, or within so many steps that are no more than a quarter of it."""

FAR_OFF = 2.0
"""Early in training, a loss of this many times its start is as far off as that of a trial that diverged."""

LOST = 0.25
"""Later, a rise that takes back this share of all that the loss had fallen by."""

SPIKE = 10.0
"""A gradient norm of this many times the trial's own 90th percentile is a spike."""

_NOISE = 6.0
"""Standard deviations of noise that a rise exceeds."""

_CHANCE = 2.5
"""Standard deviations that of hundreds of steps two in a row may both exceed by chance."""

_FROM_ON, _FEWEST_FROM = 0.85, 3
"""Where training gets unstable: from there on this share of trials, three or more, is; below the same share is not."""

_FIRST_FEW = 3

_NOISE_POINTS = 20
"""From so many points before it the noise of a point is estimated."""

_SUDDEN = 5
"""Within so many hundredths of training a rise is sudden."""

OF_OPTIMIZATION = ("NaN", "infinity", "diverged")
"""How reasons begin of trials that are infeasible since their optimization failed."""


class Kind(StrEnum):
    """When a trial was unstable."""

    EARLY = "early"
    MIDDLE = "in the middle of training"
    ENDED = "until it ended"
    """It diverged, or came to NaN or infinity."""


@dataclass(frozen=True)
class Unstable:
    """A trial that was.

    Fields:
        step: at which the loss was highest, or its gradient; None where it is not known.
        height: of the loss there, as a multiple of that at the start, or of the lowest before; None for a trial that
            ended by it, and where the gradients alone tell.
        spike: the largest gradient norm after the beginning, as a multiple of the 90th percentile; None without norms.
    """

    trial: Trial
    kind: Kind
    step: int | None = None
    height: float | None = None
    spike: float | None = None


def unstable_trials(evidence: Evidence) -> list[Unstable]:
    """Of the first runs, completed or not."""
    ended = [
        Unstable(trial, Kind.ENDED)
        for trial in evidence.first_runs
        if trial.outcome == Outcome.INFEASIBLE and (trial.reason or "").startswith(OF_OPTIMIZATION)
    ]
    completed = [trial for trial in evidence.first_runs if trial.outcome == Outcome.COMPLETED]
    known = [(trial, curves) for trial in completed if (curves := evidence.curves.get(trial.id)) is not None]
    found = {one.trial.id: one for one in _by_spikes(known)}
    found |= {one.trial.id: one for one in _by_sudden_rise(known)}
    found |= {one.trial.id: one for one in _by_start(known)}
    return [*ended, *found.values()]


def is_early(step: float, last_step: float) -> bool:
    """Whether a step belongs to the start of training."""
    return step <= max(EARLY_SHARE * last_step, min(EARLY_STEPS, 0.25 * last_step))


def learning_rate_of_onset(evidence: Evidence, unstable: Sequence[Unstable]) -> float | None:
    """The smallest learning rate from which on most trials are unstable, and below which few are (rule UN1's
    unstable_base_learning_rate); None where the learning rate does not tell them apart."""
    ids = {one.trial.id for one in unstable}
    ended = [trial for trial in evidence.first_runs if trial.outcome in (Outcome.COMPLETED, Outcome.INFEASIBLE)]
    rated = [(rate, trial.id in ids) for trial in ended if (rate := number_of(trial, "learning_rate")) is not None]
    if not rated:
        return None
    rates, is_unstable = np.array([rate for rate, _ in rated]), np.array([one for _, one in rated])
    order = np.argsort(rates, kind="stable")
    rates, is_unstable = rates[order], is_unstable[order]
    above = np.cumsum(is_unstable[::-1])[::-1] / np.arange(len(rates), 0, -1)
    below = np.concatenate([[0.0], np.cumsum(is_unstable)[:-1] / np.arange(1, len(rates))])
    num_from = np.arange(len(rates), 0, -1)
    is_onset = is_unstable & (above >= _FROM_ON) & (below <= 1 - _FROM_ON) & (num_from >= _FEWEST_FROM)
    onset = np.flatnonzero(is_onset)
    if not len(onset) or rates[onset[0]] <= rates[0]:
        return None
    return float(rates[onset[0]])


# ---------------------------------------------------------------------- what is seen


def _by_start(known: Sequence[tuple[Trial, TrialCurves]]) -> list[Unstable]:
    """Trials whose loss, at least two points in a row, was far above its start early in training."""
    found = []
    evaluated = {trial.id: curves.evaluations.get(Evaluation("train", LOSS)) for trial, curves in known}
    for stack in _losses_of_steps(known):
        num_early = sum(is_early(step, stack.steps[-1]) for step in stack.steps)
        early = stack.values[:, : max(2, num_early)]
        # A single batch is no measure of the loss at the start; without an evaluation there the first few have to do.
        start = np.array([_loss_at_start(evaluated[trial.id]) for trial in stack.trials])
        start = np.where(np.isfinite(start), np.fmax(start, early[:, 0]), early[:, :_FIRST_FEW].max(axis=1))
        pairs = np.minimum(early[:, 1:], early[:, :-1])
        highest = pairs.max(axis=1)
        far_off = np.maximum(FAR_OFF, np.exp(_CHANCE * _relative_noise(early)))
        for row in np.flatnonzero((start > 0) & (highest > far_off * start)):
            step = int(stack.steps[1 + pairs[row].argmax()])
            found.append(Unstable(stack.trials[row], Kind.EARLY, step, float(highest[row] / start[row])))
    return found


def _relative_noise(values: Floats) -> Floats:
    """The standard deviation of single batches' losses as a share of them, from their neighbours."""
    changes = np.abs(np.diff(np.log(np.maximum(values, 1e-300)), axis=1))
    return np.asarray(np.median(changes, axis=1) / (0.6745 * 2**0.5))


def _loss_at_start(curve: Curve | None) -> float:
    """What training examples cost before the first step; NaN where that was not evaluated."""
    return float(curve.values[0]) if curve is not None and len(curve.steps) and curve.steps[0] == 0 else float("nan")


def _losses_of_steps(known: Sequence[tuple[Trial, TrialCurves]]) -> list[Stack]:
    """The loss of steps, thinned or not, which shows what means over many steps hide; else those means."""
    curves = [(trial, of_trial.steps.get(LOSS) or training_loss(of_trial)) for trial, of_trial in known]
    stacks = stacked((trial, curve) for trial, curve in curves if curve is not None)
    return [stack for stack in stacks if stack.values.shape[1] >= MIN_POINTS]


def _by_sudden_rise(known: Sequence[tuple[Trial, TrialCurves]]) -> list[Unstable]:
    """Trials whose loss, after it had fallen, suddenly took back a good part of that."""
    curves = [(trial, training_loss(of_trial)) for trial, of_trial in known]
    found = []
    for stack in stacked((trial, curve) for trial, curve in curves if curve is not None):
        values, num_points = stack.values, stack.values.shape[1]
        if num_points < 2 * MIN_POINTS:
            continue
        sudden = max(1, num_points * _SUDDEN // 100)
        # The level before each point from 2 + sudden on, and the noise of single points up to there.
        before = running_mean(values, 3)[:, :-sudden]
        after, steps = values[:, 2 + sudden :], stack.steps[2 + sudden :]
        fallen, whole_fall = values[:, :1] - before, values[:, :1] - values.min(axis=1, keepdims=True)
        noise = _noise_before(values)[:, : before.shape[1]]
        risen = after - before
        is_rise = (fallen >= LOST * whole_fall) & (risen > LOST * fallen) & (risen > _NOISE * noise) & (fallen > 0)
        is_rise &= np.array([not is_early(step, stack.steps[-1]) for step in steps])
        for row in np.flatnonzero(is_rise.any(axis=1)):
            place = int(np.where(is_rise[row], risen[row], -np.inf).argmax())
            height = float(after[row, place] / before[row, place]) if before[row, place] > 0 else None
            found.append(Unstable(stack.trials[row], Kind.MIDDLE, int(steps[place]), height))
    return found


def _noise_before(values: Floats) -> Floats:
    """The standard deviation of single points at each point from the third on, from how the points up to it, at most
    `_NOISE_POINTS`, differ from their neighbours."""
    differences = np.abs(np.diff(values, axis=1))
    sums = np.cumsum(np.pad(differences, ((0, 0), (1, 0))), axis=1)
    ends = np.arange(2, sums.shape[1])
    starts = np.maximum(0, ends - _NOISE_POINTS)
    mean_size = 2 / np.sqrt(np.pi)  # of the difference of two points, in standard deviations of one
    return np.asarray((sums[:, ends] - sums[:, starts]) / (ends - starts) / mean_size)


def _by_spikes(known: Sequence[tuple[Trial, TrialCurves]]) -> list[Unstable]:
    """Trials of whose gradient norms one is an outlier after the beginning."""
    found = []
    for trial, curves in known:
        spike = spike_of(curves)
        if spike is not None and spike[0] >= SPIKE:
            found.append(Unstable(trial, Kind.MIDDLE, spike[1], spike=spike[0]))
    return found


def spike_of(curves: TrialCurves | None) -> tuple[float, int] | None:
    """The largest gradient norm after the beginning, as a multiple of the trial's 90th percentile, and its step."""
    if curves is None:
        return None
    norms, digest = curves.steps.get(GRADIENT_NORM), curves.digests.get(GRADIENT_NORM)
    if norms is None or digest is None or len(norms.steps) == 0 or not digest.quantiles[90] > 0:
        return None
    last = float(norms.steps[-1])
    later = norms.steps > max(EARLY_SHARE * last, min(EARLY_STEPS, 0.25 * last))
    values = np.where(np.isfinite(norms.values) & later, norms.values, -np.inf)
    place = int(values.argmax())
    if not later.any() or not np.isfinite(values[place]):
        return None
    return float(values[place] / digest.quantiles[90]), int(norms.steps[place])
