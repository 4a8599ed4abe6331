"""Parts of stability studies whose trainings have known curves: stable ones, and ones that blow up at a known step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves, digest_of
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.columns import GRADIENT_NORM, LOSS
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Discrete
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec, WorkloadSpec

Floats = npt.NDArray[np.float64]

START, END = 2.3, 0.3
"""A loss begins and ends here."""


@dataclass(frozen=True)
class Training:
    """A training of a part.

    Fields:
        loss, norm: of its steps.
        objective: None where it did not come to its end, for this reason.
    """

    rate: float
    loss: Floats
    norm: Floats
    objective: float | None = 0.1
    reason: str | None = None


def learns(num_steps: int, seed: int = 0, *, end: float = END) -> Floats:
    """A loss that falls, with the noise of batches."""
    shares = np.arange(1, num_steps + 1) / num_steps
    noise = np.random.default_rng(seed).lognormal(0, 0.1, num_steps)
    return np.asarray((end + (START - end) * np.exp(-shares / 0.15)) * noise)


def stable(rate: float, num_steps: int = 400, *, objective: float = 0.1, norms: Floats | None = None) -> Training:
    """A training that learns."""
    seed = int(1e6 * rate)
    norm = np.random.default_rng([seed, 1]).lognormal(0, 0.3, num_steps) if norms is None else norms
    return Training(rate, learns(num_steps, seed), norm, objective)


def blows_up(rate: float, at_step: int, num_steps: int = 400) -> Training:
    """A training that learns until its loss grows tenfold with each step from one on, and ends in NaN."""
    loss = learns(num_steps, int(1e6 * rate))[: at_step + 3]
    loss[at_step - 1 :] = START * 10.0 ** np.arange(1, len(loss) - at_step + 2)
    return Training(rate, loss, loss * 10, None, f"NaN: training loss at step {at_step + 4}")


def dead(rate: float, num_steps: int = 400, *, from_step: int = 1) -> Training:
    """A training whose loss is that of guessing, from a step on."""
    loss = learns(num_steps, int(1e6 * rate))
    rng = np.random.default_rng([int(1e6 * rate), 2])
    loss[from_step - 1 :] = START * rng.lognormal(0, 0.02, num_steps - from_step + 1)
    return Training(rate, loss, np.full(num_steps, 0.1), 0.9)


def part(
    trainings: Sequence[Training], max_train_steps: int = 400, fixed: Mapping[str, Value] | None = None
) -> Evidence:
    """The evidence of a part, whose trainings differ in their learning rate."""
    values: dict[str, Value] = {"warmup_steps": 0, "clipping_norm": None, **(fixed or {})}
    study = StudySpec(
        name="all",
        arm={},
        space={"learning_rate": Discrete(sorted(one.rate for one in trainings))},
        fixed=values,
        configurations=tuple({"learning_rate": one.rate} for one in trainings),
        seed=0,
        num_trials=len(trainings),
        objective=Objective(),
        max_train_steps=max_train_steps,
        evaluation_interval_steps=max(1, max_train_steps // 10),
        divergence_factor=2.0,
        workload=WorkloadSpec(module="jobs.stability", name="Generated", settings={}, source_hash="5f3c"),
        num_workers=1,
        threads_per_worker=1,
    )
    trials, curves = [], {}
    for index, one in enumerate(trainings):
        trial = Trial(
            study="all",
            index=index,
            values={**values, "learning_rate": one.rate},
            outcome=Outcome.INFEASIBLE if one.objective is None else Outcome.COMPLETED,
            reason=one.reason,
            objective=one.objective,
            best_step=None if one.objective is None else len(one.loss),
        )
        trials.append(trial)
        curves[trial.id] = curves_of(trial, one)
    return Evidence((study,), Objective(), tuple(trials), curves)


def curves_of(trial: Trial, one: Training) -> TrialCurves:
    """Its loss and norms by step, with an evaluation of the loss before the first."""
    steps = np.arange(1, len(one.loss) + 1)
    found = {LOSS: Curve(steps, one.loss), GRADIENT_NORM: Curve(steps, one.norm)}
    digests = {name: digest_of(curve.steps, curve.values) for name, curve in found.items()}
    every = np.arange(0, len(one.loss), 20)
    evaluated = Curve(every, np.where(every == 0, START, one.loss[np.maximum(every - 1, 0)]))
    return TrialCurves(trial.id, {Evaluation("train", LOSS): evaluated}, found, digests)
