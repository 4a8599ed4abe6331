"""Rule AD1: which trainings count as retrainings of a configuration, and how many are made."""

from __future__ import annotations

import math
from statistics import median, stdev

import pytest

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.procedures.variance.retrainings import num_by_price, retrainings_of
from raytune_playbook.records.types import Attempt, Outcome, Training
from raytune_playbook.study.settings import Objective

OBJECTIVE = Objective(metric="error")


def trial(repeat: int, value: float | None, *, index: int = 3, code: str | None = "now", train_s: float = 1.0) -> Trial:
    return Trial(
        study="all",
        index=index,
        repeat=repeat,
        outcome=Outcome.INFEASIBLE if value is None else Outcome.COMPLETED,
        objective=value,
        training=Training(num_steps=10, num_parameters=2, train_s=train_s),
        attempts=(Attempt(1, "gang", "2026-01-01T00:00:00Z", source_hash=code),),
    )


def test_ad1_the_run_that_the_search_picked_is_not_among_its_retrainings() -> None:
    trials = [trial(0, 0.01), trial(1, 0.03), trial(2, 0.04), trial(1, 0.5, index=4)]
    found = retrainings_of(trials, ("all", 3), OBJECTIVE, "now", with_first=False)
    assert found.values == (0.03, 0.04)
    fresh = retrainings_of(trials, ("all", 3), OBJECTIVE, "now", with_first=True)
    assert fresh.values == (0.01, 0.03, 0.04)
    assert (fresh.median, fresh.deviation) == (median(fresh.values), stdev(fresh.values))


def test_ad1_what_other_code_has_trained_is_outdated() -> None:
    trials = [trial(1, 0.03, code="before"), trial(2, 0.04), trial(3, 0.05, code=None)]
    found = retrainings_of(trials, ("all", 3), OBJECTIVE, "now", with_first=False)
    assert (found.values, found.num_outdated) == ((0.04, 0.05), 1)


def test_ad1_an_infeasible_retraining_is_worse_than_any() -> None:
    trials = [trial(1, 0.03), trial(2, None), trial(3, 0.05)]
    found = retrainings_of(trials, ("all", 3), OBJECTIVE, "now", with_first=False)
    assert (found.num, found.num_infeasible, found.median, found.deviation) == (3, 1, 0.05, None)
    assert found.losses == [0.03, 0.05, math.inf]
    better = retrainings_of(trials, ("all", 3), Objective(metric="accuracy", goal="maximize"), "now", with_first=False)
    assert (better.losses, better.median) == ([-0.03, -0.05, math.inf], 0.03)


@pytest.mark.parametrize(("train_s", "number"), [(1, 20), (180, 20), (240, 15), (720, 5), (36_000, 5)])
def test_ad1_long_trainings_are_repeated_fewer_times_by_their_price(train_s: float, number: int) -> None:
    assert num_by_price([trial(0, 0.1, train_s=train_s)]) == number
