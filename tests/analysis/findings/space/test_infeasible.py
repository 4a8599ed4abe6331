"""Rule IN3: infeasible trials by reason and by where they lie; crashes told apart."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from raytune_playbook.analysis.findings.changes import SearchOver
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.analysis.findings.space.infeasible import infeasible_share
from raytune_playbook.records.types import Attempt, Outcome
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from tests.analysis.findings.generated import Plan, Values, generated
from tests.analysis.findings.space.cases import DIVERGED, partly_infeasible, rounds, unit


def test_in3_reasons_are_counted_and_the_place_is_named() -> None:
    def objective(values: Values, rng: np.random.Generator) -> float | str:
        rate = float(values["learning_rate"])  # type: ignore[arg-type]
        if rate > 0.3:
            return "NaN: the loss of step 12"
        return DIVERGED if rate > 0.1 else (np.log10(rate) + 2) ** 2

    (found,) = infeasible_share(generated(Plan(trials_per_arm=40), 0, objective))
    assert found.status is Status.LOOK
    assert "diverged" in found.sentence
    assert "NaN" in found.sentence
    assert "With learning_rate above 0.092, 14 of 14 trials are infeasible" in found.sentence
    assert "elsewhere 0 of" in found.sentence
    assert len(found.trials) == found.numbers["num_infeasible"]
    assert found.proposal is not None
    (change,) = found.proposal.changes
    assert isinstance(change, SearchOver)
    assert isinstance(change.hyperparameter, Float)
    assert 0.05 < change.hyperparameter.high < 0.12


def test_in3_a_linear_range_over_decades_goes_over_to_a_log_scale() -> None:
    space = {"learning_rate": Float(1e-4, 1.0)}

    def objective(values: Values, rng: np.random.Generator) -> float | str:
        rate = float(values["learning_rate"])  # type: ignore[arg-type]
        return DIVERGED if rate > 0.3 else abs(rate - 0.1)

    (found,) = infeasible_share(generated(Plan(space=dict(space), trials_per_arm=20), 0, objective))
    assert found.status is Status.PROBLEM
    assert found.proposal is not None
    (change,) = found.proposal.changes
    assert isinstance(change, SearchOver)
    assert isinstance(change.hyperparameter, Float)
    assert change.hyperparameter.scale == "log"
    assert change.hyperparameter.low == 1e-4
    assert 0.25 < change.hyperparameter.high < 0.4


def test_in3_nearly_all_infeasible_hints_at_a_bug_and_withholds() -> None:
    (found,) = infeasible_share(partly_infeasible(1.0, 0.98, 0))
    assert found.status is Status.PROBLEM
    assert found.withholds
    assert "bug" in found.sentence


def test_in3_a_crash_is_no_infeasible_trial() -> None:
    evidence = rounds({"learning_rate": 0.5, "momentum": 0.5}, 0)
    crashed = tuple(
        dataclasses.replace(trial, outcome=Outcome.FAILED, objective=None) if trial.index < 4 else trial
        for trial in evidence.trials
    )
    failed, share = infeasible_share(dataclasses.replace(evidence, trials=crashed))
    assert failed.status is Status.LOOK
    assert failed.sentence.startswith("4 of 20 trials crashed: that is a bug, ")
    assert failed.sentence.endswith("why was not recorded.")
    assert [trial[1] for trial in failed.trials] == ["00000", "00001", "00002", "00003"]
    assert share.status is Status.PASSES
    assert share.sentence == "None of 16 trials is infeasible."


@pytest.mark.parametrize(
    ("num_failed", "attempts", "reason", "sentence"),
    [
        (
            2,
            (Attempt(1, "gang-0", "", "failed", "ValueError: no"),),
            None,
            "2 of 20 trials crashed: .*tracebacks say where",
        ),
        (
            1,
            (Attempt(1, "gang-0", "", "failed", "ValueError: no"),),
            None,
            "1 of 20 trials crashed: .*its traceback says",
        ),
        (20, (), None, "All 20 trials crashed: "),
        (
            2,
            (),
            "no loss was recorded",
            r"2 of 20 trials have no result \(no loss was recorded\), so they are no evidence",
        ),
        (1, (), "no loss was recorded", "1 of 20 trials has no result .* it is no evidence"),
    ],
)
def test_in3_a_crash_is_explained_as_far_as_it_was_recorded(
    num_failed: int, attempts: tuple[Attempt, ...], reason: str | None, sentence: str
) -> None:
    evidence = rounds({"learning_rate": 0.5, "momentum": 0.5}, 0)
    trials = tuple(
        dataclasses.replace(trial, outcome=Outcome.FAILED, objective=None, reason=reason, attempts=attempts)
        if place < num_failed
        else trial
        for place, trial in enumerate(evidence.trials)
    )
    failed = infeasible_share(dataclasses.replace(evidence, trials=trials))[0]
    assert re.match(sentence, failed.sentence), failed.sentence
    assert failed.proposal is not None
    assert ("traceback" in failed.sentence) == ("traceback" in failed.proposal.sentence) == bool(attempts)


def test_in3_studies_that_try_the_same_points_are_no_more_evidence_than_one() -> None:
    """Two of eight points, those with the largest learning rates, are infeasible in all three studies: maybe chance."""

    def objective(values: Values, rng: np.random.Generator) -> float | str:
        return DIVERGED if unit(values, "learning_rate") > 0.75 else 0.1

    arms = [{"norm": kind} for kind in ("batch", "layer", "none")]
    (found,) = infeasible_share(generated(Plan(arms=arms, trials_per_arm=8), 0, objective))
    assert found.numbers["num_infeasible"] == 6
    assert "elsewhere" not in found.sentence
