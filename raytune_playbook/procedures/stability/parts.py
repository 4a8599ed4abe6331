"""The rounds of a stability study: what each trains, and for how long.

All of them train the round's best configuration, with other learning rates. Training lengths differ from part to part
and never within one, so that rule SD11 holds but for its one exception: the trials of the warmup study are as long as
their warmup asks, and those of the early check are short.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.search.suggest import values_at
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import is_same
from raytune_playbook.study.round import Round

SWEEP = (0.5, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0)
"""Learning rates of the sweep as multiples of the best: one below, those just above, 5 and 10 times (rule UN1)."""

CHECK_TIMES, CHECK_STEPS = 2.0, 500
"""The early check: so many times the best learning rate, so many steps, an evaluation at each (rule UN3)."""

CHECK_SAMPLE = 256
"""Validation examples that each of so many evaluations scores at most."""

LONGEST_WARMUP = 0.1
"""Of max_train_steps: the longest warmup that is tried (rule UN4)."""

SHORTEST_WARMUP_STEPS = 6
"""With twice as many steps after it: fewer are too few to see a loss jump."""

MOST_WARMUPS = 4

POST_WARMUP = 2
"""Steps after the warmup, as a multiple of it (rule UN4)."""


@dataclass(frozen=True)
class Baseline:
    """The configuration whose stability is studied.

    Fields:
        round: that it was found in.
        trial: the round's best.
        values: all hyperparameter values, under the workload's names, but for the learning rate.
        learning_rate: the best, lr* of the playbook.
    """

    round: Round
    trial: Trial
    values: Mapping[str, Value]
    learning_rate: float

    @property
    def max_train_steps(self) -> int:
        return self.round.budget.max_train_steps

    @property
    def warmup_steps(self) -> int:
        """That it has already."""
        return _integer(self.values.get("warmup_steps"))

    @property
    def clipping_norm(self) -> float | None:
        """At which its gradients are clipped already; None where they are not."""
        norm = self.values.get("clipping_norm")
        return float(norm) if isinstance(norm, int | float) else None

    @property
    def rates(self) -> list[float]:
        """The learning rates of the sweep."""
        return [rounded(times * self.learning_rate) for times in SWEEP]


def baseline_of(round_: Round, trial: Trial) -> Baseline | None:
    """The configuration of a round's trial; None where its learning rate is no number above zero."""
    study = next(each for each in round_.studies if each.name == trial.study)
    values = {name: value for name, value in values_at(study, trial.index).items() if name in round_.defaults}
    rate = values.pop("learning_rate", None)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0:
        return None
    return Baseline(round_, trial, values, float(rate))


def sweep(baseline: Baseline, goal: str, rates: Sequence[float], changes: Mapping[str, Value] | None = None) -> Round:
    """The baseline at several learning rates, as long as it was trained, with changes such as a warmup."""
    return _part(baseline, goal, rates, changes or {}, {})


def early_check(baseline: Baseline, goal: str, num_validation: int | None) -> Round:
    """Few steps at twice the best learning rate, evaluated at each (rule UN3).

    Args:
        num_validation: validation examples; of more than `CHECK_SAMPLE`, or an unknown number, each evaluation scores a
            sample.
    """
    steps = min(CHECK_STEPS, baseline.max_train_steps)
    changes: dict[str, Value] = {}
    if steps < baseline.max_train_steps:  # of a longer schedule these are the first steps, before its decay
        changes |= _CONSTANT
    if num_validation is None or num_validation > CHECK_SAMPLE:
        changes["evaluation_sample"] = CHECK_SAMPLE
    budget: dict[str, int | None] = {"max_train_steps": steps, "evaluation_interval_steps": 1}
    budget["checkpoint_interval_steps"] = steps  # of these models none is wanted
    return _part(baseline, goal, [rounded(CHECK_TIMES * baseline.learning_rate)], changes, budget)


def warmup_part(baseline: Baseline, goal: str, rates: Sequence[float], warmup_steps: int) -> Round:
    """A warmup to each of several base learning rates, and a constant rate for twice as many steps (rule UN4)."""
    after = POST_WARMUP * warmup_steps
    budget: dict[str, int | None] = {
        "max_train_steps": after,
        "evaluation_interval_steps": max(1, warmup_steps // 2),
        "checkpoint_interval_steps": None,
    }
    return _part(baseline, goal, rates, {**_CONSTANT, "warmup_steps": warmup_steps}, budget)


def warmup_lengths(max_train_steps: int, present: int = 0) -> list[int]:
    """The lengths of warmup to try, the shortest first: orders of magnitude up to a tenth of training (rule UN4).

    Args:
        max_train_steps: of the baseline.
        present: its warmup already; shorter ones are not tried.

    Returns:
        At most `MOST_WARMUPS`; steps of half an order of magnitude where whole ones would leave fewer than three.
    """
    longest = math.floor(LONGEST_WARMUP * max_train_steps)
    factor = 10.0 if longest >= 100 * SHORTEST_WARMUP_STEPS else math.sqrt(10)
    lengths = [round(longest / factor**place) for place in range(MOST_WARMUPS)]
    return sorted({length for length in lengths if length >= SHORTEST_WARMUP_STEPS and length > present})


def rounded(rate: float) -> float:
    """To three significant digits, as a person writes it."""
    return float(f"{rate:.3g}")


_CONSTANT: dict[str, Value] = {"schedule": "constant", "decay_steps": None, "averaging": "none"}


def _part(
    baseline: Baseline,
    goal: str,
    rates: Sequence[float],
    changes: Mapping[str, Value],
    budget: Mapping[str, int | None],
) -> Round:
    round_ = baseline.round
    values = {**baseline.values, **changes}
    differ = {name: value for name, value in values.items() if not is_same(value, round_.defaults[name])}
    why = f"as in {baseline.trial.text} of {round_.name}, whose stability is studied"
    spent = {**dict(round_.budget), **budget, "num_trials": len(rates), "target": None, "num_best_checkpoints": 1}
    return Round(
        name=round_.name,  # the procedure names it
        goal=goal,
        workload=round_.workload,
        configurations=tuple({"learning_rate": rate} for rate in rates),
        fixed=differ,
        reasons=dict.fromkeys(values, why),
        objective=round_.objective,
        budget=type(round_.budget)(**spent),
        resources=round_.resources,
        input_pipeline=round_.input_pipeline,
        seed=round_.seed,
    )


def _integer(value: Value) -> int:
    return value if isinstance(value, int) else 0
