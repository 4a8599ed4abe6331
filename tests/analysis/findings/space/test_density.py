"""Rule IN2: whether more trials are expected to help."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from raytune_playbook.analysis.findings.changes import NumTrials
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.analysis.findings.space.density import MANY, density, expected_best
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from tests.analysis.findings.generated import Plan, Values, generated
from tests.analysis.findings.space.cases import DIVERGED, searched


@pytest.mark.parametrize("num_trials", [1, 2, 4, 7])
def test_in2_the_best_of_some_trials_is_the_mean_over_all_choices(num_trials: int) -> None:
    costs = [0.4, 0.1, 0.9, 0.3, 0.3, 0.7, 0.2]
    oracle = np.mean([min(choice) for choice in itertools.combinations(costs, num_trials)])
    assert expected_best(costs, num_trials) == pytest.approx(oracle)


def test_in2_too_few_points_propose_twice_as_many_or_a_smaller_goal() -> None:
    (found,) = density(searched(8, 12, 0.005, 0))
    assert found.status is Status.LOOK
    assert found.numbers["expected_gain_of_doubling"] > found.numbers["gain_worth_having"]
    assert found.proposal is not None
    assert found.proposal.changes == (NumTrials(24),)
    assert "less ambitious" in found.proposal.sentence


def test_in2_the_retrain_variance_is_what_a_gain_is_compared_with() -> None:
    (found,) = density(searched(3, 40, 0.02, 0))
    assert found.status is Status.PASSES
    assert "what retraining a point changes by chance, by 4 retrainings (" in found.sentence
    evidence = searched(3, 40, 0.02, 0)
    spreads = [trial.objective for trial in evidence.trials if trial.repeat and trial.objective is not None]
    assert len(spreads) == 4
    student = 2.3534  # of 3 degrees of freedom, exceeded in 5% of cases
    assert found.numbers["gain_worth_having"] == pytest.approx(student * np.std(spreads, ddof=1), rel=1e-3)


def test_in2_trials_within_one_example_of_the_best_are_as_good() -> None:
    """Of 100 validation examples one is 0.01: nine of ten trials miss one more than the best."""
    plan = Plan(trials_per_arm=10, num_validation_examples=100)
    evidence = generated(plan, 0, lambda values, rng: 0.03)
    best = replace(evidence.trials[0], objective=0.02)
    worst = replace(evidence.trials[1], objective=0.5)
    (found,) = density(replace(evidence, trials=(best, worst, *evidence.trials[2:])))
    assert found.status is Status.PASSES
    assert found.numbers["num_good"] == 9
    assert "the metric's resolution (0.01)" in found.sentence


def test_in2_few_trials_cannot_tell() -> None:
    (found,) = density(searched(3, 5, 0.02, 0))
    assert found.status is Status.CANNOT_TELL


def test_in2_among_many_trials_more_are_asked_for_only_where_luck_is_known() -> None:
    """Of noise alone the best improves with ever more trials."""
    plan = Plan(space={"h": Float(0.0, 1.0)}, trials_per_arm=MANY)

    def noise(_: Values, rng: np.random.Generator) -> float:
        return float(rng.normal())

    (found,) = density(generated(plan, 1, noise))
    assert found.status is Status.LOOK
    assert found.proposal is not None
    assert found.proposal.changes == ()
    assert "train the best point again" in found.proposal.sentence
    (fewer,) = density(generated(replace(plan, trials_per_arm=MANY // 2), 1, noise))
    assert fewer.proposal is not None
    assert fewer.proposal.changes == (NumTrials(MANY),)
    (known,) = density(generated(replace(plan, num_repeats=3), 1, noise))
    assert known.status is Status.PASSES


def test_in2_few_completed_trials_never_ask_for_fewer_than_there_were() -> None:
    def mostly_infeasible(_: Values, rng: np.random.Generator) -> float | str:
        return DIVERGED if rng.random() < 0.9 else float(rng.normal())

    (found,) = density(generated(Plan(space={"h": Float(0.0, 1.0)}, trials_per_arm=20), 0, mostly_infeasible))
    assert found.status is Status.CANNOT_TELL
    assert found.proposal is not None
    assert found.proposal.changes == (NumTrials(40),)
