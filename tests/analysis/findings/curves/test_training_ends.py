"""Rule LN1: whether training is compute-bound is said, from the ends of curves whose shape is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.analysis.answer.answer import Verdict, answer_of
from raytune_playbook.analysis.findings.comparison.step_count import step_count
from raytune_playbook.analysis.findings.curves.best_step_shares import best_step_shares
from raytune_playbook.analysis.findings.curves.ends import training_ends
from raytune_playbook.analysis.findings.finding import Status
from tests.analysis.findings.curves.cases import saturates_early
from tests.analysis.findings.curves.shapes import Floats, Shape, Shapes, Values, round_of


def falls_steadily(values: Values, shares: Floats, rng: object) -> Floats:
    """From 40% of errors to 10%, at a constant rate up to the last step."""
    return 0.4 - 0.3 * shares


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("shape", "said", "is_longer"),
    [
        (falls_steadily, "so training is probably compute-bound, and longer training would do better.", True),
        (saturates_early, "so training is not compute-bound.", False),
    ],
)
def test_ln1_training_is_compute_bound_where_curves_still_fall_and_not_where_they_are_saturated_early(
    shape: Shape, said: str, is_longer: bool, seed: int
) -> None:
    evidence = round_of(seed, Shapes(validation=shape, training=shape))
    (found,) = training_ends(evidence)
    assert (found.status, found.proposal is not None) == (Status.LOOK, True)
    assert found.sentence.endswith(said)
    assert (found.numbers["num_improving"] > 0) is is_longer
    (change, *_) = found.proposal.changes if found.proposal else ()
    assert (change.max_train_steps > evidence.studies[0].max_train_steps) is is_longer


@pytest.mark.parametrize("detector", [training_ends, best_step_shares, step_count])
def test_in8_in14_and_ln7_do_not_judge_the_length_of_trials_that_end_at_a_target(detector):
    evidence = round_of(0, Shapes(validation=falls_steadily, training=falls_steadily))
    assert "Trials end when" not in detector(evidence)[0].sentence
    studies = tuple(study.model_copy(update={"target": 0.1}) for study in evidence.studies)
    (found,) = detector(replace(evidence, studies=studies))
    assert (found.status, found.proposal) == (Status.PASSES, None)
    assert "Trials end when they reach a validation error of 0.1" in found.sentence


def test_ba6_values_whose_trials_end_at_a_target_are_not_compared_by_their_objective():
    evidence = round_of(0, Shapes(validation=falls_steadily, training=falls_steadily))
    studies = tuple(study.model_copy(update={"target": 0.1}) for study in evidence.studies)
    answer = answer_of(replace(evidence, studies=studies), (), ())
    assert (answer.verdict, answer.reasons) == (Verdict.NOTHING_TO_COMPARE, ())
    assert answer.sentence.endswith("what tells their values apart is how many steps that took.")
