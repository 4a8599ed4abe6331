"""What questions about curves say and propose, beside whether they raise an alarm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raytune_playbook.analysis.findings.changes import Fix, SearchOver, TrainSteps
from raytune_playbook.analysis.findings.curves.best_step_shares import best_step_shares
from raytune_playbook.analysis.findings.curves.clipping import clipping
from raytune_playbook.analysis.findings.curves.ends import training_ends
from raytune_playbook.analysis.findings.curves.instability import instability
from raytune_playbook.analysis.findings.curves.late_variance import late_variance
from raytune_playbook.analysis.findings.curves.overfitting import overfitting
from raytune_playbook.analysis.findings.curves.rising_loss import rising_loss
from raytune_playbook.analysis.findings.curves.waiting import waiting
from raytune_playbook.analysis.findings.curves.warmup import warmup
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.analysis.input_pipeline import finding as input_bound_sentence
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves
from raytune_playbook.records.types import Outcome, TimeByPart
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from tests.analysis.findings.curves.cases import (
    alike,
    anneals,
    best_early,
    jumps,
    learns,
    loss_rises,
    norms,
    overfits,
    saturates_early,
    some_overfit,
    starts_badly,
)
from tests.analysis.findings.curves.shapes import FIXED, PLAN, TWO_ARMS, Shapes, fits, keeps_improving, number, round_of

IMPROVING = Shapes(validation=keeps_improving, training=keeps_improving)
UNSTABLE_FROM = 0.15


def fixed(plan=PLAN, **values):
    return replace(plan, fixed=FIXED | values)


# ---------------------------------------------------------------------- overfitting


def test_in6_an_overfit_best_trial_withholds_the_comparison_and_proposes_regularizers_that_are_not_searched():
    space = {"learning_rate": Float(1e-3, 1.0, scale="log")}
    (found,) = overfitting(round_of(0, Shapes(validation=overfits), replace(TWO_ARMS, space=space)))
    assert (found.status, found.withholds) == (Status.PROBLEM, True)
    assert found.proposal.changes == (
        SearchOver("dropout", Float(0.0, 0.5)),
        SearchOver("label_smoothing", Float(0.0, 0.2)),
    )
    assert found.trials[0][0] in found.studies


def test_in6_regularizers_that_are_searched_all_get_stronger_ones():
    bare = {name: value for name, value in FIXED.items() if name not in ("dropout", "label_smoothing")}
    (found,) = overfitting(round_of(0, Shapes(validation=overfits), replace(TWO_ARMS, fixed=bare)))
    assert found.proposal.changes == (SearchOver("weight_decay", Float(1e-6, 0.1, scale="log")),)


def test_in6_no_more_than_the_strongest_regularization_is_asked_for():
    bare = {name: value for name, value in FIXED.items() if name not in ("dropout", "label_smoothing")}
    space = {"weight_decay": Float(1e-6, 0.5, scale="log"), "learning_rate": Float(1e-3, 1.0, scale="log")}
    changes = []
    for _ in range(2):
        plan = replace(TWO_ARMS, fixed=bare, space=space)
        (found,) = overfitting(round_of(0, Shapes(validation=overfits), plan))
        changes.append(found.proposal.changes)
        space["weight_decay"] = Float(1e-6, 1.0, scale="log")
    assert changes == [(SearchOver("weight_decay", space["weight_decay"]),), ()]


def test_in6_a_scientific_regularizer_is_expected_to_be_weak_somewhere():
    plan = replace(TWO_ARMS, arms=({"dropout": 0.0}, {"dropout": 0.3}))
    (found,) = overfitting(round_of(0, Shapes(validation=overfits), plan))
    assert (found.status, found.withholds) == (Status.LOOK, False)
    assert "With dropout compared, that is to be expected of its weak settings." in found.sentence


def test_in6_a_small_learning_rate_that_regularizes_is_told():
    (found,) = overfitting(round_of(0, Shapes(validation=some_overfit), PLAN))
    assert found.status is Status.LOOK
    assert "The trials free of it have smaller learning rates" in found.sentence


def test_in6_where_the_training_set_cannot_be_fit_regularization_may_help_little():
    (found,) = overfitting(round_of(0, Shapes(validation=overfits, training=lambda v, s, r: fits(v, s, r) + 0.2)))
    assert "No trial fits the training set" in found.sentence
    (found,) = overfitting(round_of(0, Shapes(validation=overfits)))
    assert "No trial fits the training set" not in found.sentence


def test_in6_where_training_gets_worse_as_well_it_is_no_overfitting():
    (found,) = overfitting(round_of(0, Shapes(validation=overfits, training=overfits), TWO_ARMS))
    assert found.status is Status.PASSES


# ---------------------------------------------------------------------- late variance


def test_in7_remedies_are_those_that_the_workload_has():
    noisy = Shapes(validation=alike, noise=8.0, correlation=0.0)
    (found,) = late_variance(round_of(0, noisy))
    assert found.proposal.changes == (Fix("schedule", "cosine"),)
    (found,) = late_variance(round_of(0, noisy, fixed(schedule="cosine")))
    assert found.proposal.changes == (Fix("averaging", "exponential"),)
    (found,) = late_variance(round_of(0, noisy, fixed(schedule="cosine", averaging="exponential")))
    assert found.proposal.changes == ()
    assert "more validation data" in found.proposal.sentence


def test_in7_a_difference_that_is_larger_than_luck_stands():
    def far_apart(values, shares, rng):
        return alike(values, shares, rng) * (1 if values["depth"] == 20 else 3)

    plan = replace(TWO_ARMS, num_validation_examples=1000)
    (found,) = late_variance(round_of(0, Shapes(validation=far_apart, noise=2.0, correlation=0.0), plan))
    assert found.status is Status.PASSES
    assert found.numbers["luck"] < found.numbers["difference"]
    assert found.sentence.startswith("Late in training ")


# ---------------------------------------------------------------------- number of steps


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        ({}, (TrainSteps(4000),)),
        ({"schedule": "linear", "decay_steps": 500}, (TrainSteps(4000),)),
        ({"schedule": "cosine", "decay_steps": 1000}, (TrainSteps(4000),)),
        ({"schedule": "cosine"}, ()),
        ({"schedule": "linear"}, ()),
        ({"schedule": "linear", "decay_steps": 1900}, ()),
    ],
)
def test_ln5_longer_training_extends_the_schedule(values, changes):
    """Where it decays from the start on, any training improves at its end: few points are tried first, by a person."""
    evidence = round_of(0, IMPROVING, fixed(**values))
    (ends,), (best,) = training_ends(evidence), best_step_shares(evidence)
    assert ends.status is best.status is Status.LOOK
    assert ends.proposal == best.proposal
    assert ends.proposal.changes == changes
    assert "4,000 steps" in ends.proposal.sentence
    assert ("decay" in ends.sentence) == bool(values)


def test_in8_fewer_steps_are_whole_evaluation_intervals_and_leave_room_for_warmup():
    saturated = Shapes(validation=saturates_early, training=saturates_early)
    (found,) = training_ends(round_of(0, saturated))
    (change,) = found.proposal.changes
    assert change.max_train_steps % 50 == 0
    assert change.max_train_steps >= 2 * found.numbers["saturated_share"] * 2000
    (found,) = training_ends(round_of(0, saturated, fixed(warmup_steps=60)))
    assert found.proposal.changes == (TrainSteps(1200),)


@pytest.mark.parametrize("seed", range(20))
def test_in14_and_in8_never_ask_for_more_and_for_fewer(seed):
    def one_way_or_the_other(values, shares, rng):
        return saturates_early(values, shares, rng) * (1 - rng.uniform(0, 0.3) * shares)

    shapes = Shapes(validation=one_way_or_the_other, training=saturates_early, noise=0.1)
    evidence = round_of(seed, shapes)
    asked = {
        np.sign(change.max_train_steps - 2000)
        for found in (*training_ends(evidence), *best_step_shares(evidence))
        if found.proposal
        for change in found.proposal.changes
        if isinstance(change, TrainSteps)
    }
    assert len(asked) <= 1


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_in14_late_best_steps_are_expected_at_the_end_of_a_decay(schedule):
    """More steps are asked for while the best trials are seen to improve, and not for the sake of the decay alone."""

    def anneals_much(values, shares, rng):
        return anneals(values, shares, rng) * (1 + 0.3 * np.cos(np.pi / 2 * shares) ** 2)

    few = replace(PLAN, evaluation_interval_steps=400)
    (found,) = best_step_shares(round_of(0, Shapes(validation=anneals_much), fixed(few, schedule=schedule)))
    assert (found.status, found.proposal) == (Status.PASSES, None)
    assert found.numbers["late_share"] >= 0.75
    assert "to be expected where the learning rate decays" in found.sentence
    (constant,) = best_step_shares(round_of(0, Shapes(validation=anneals_much), few))
    assert constant.status is Status.LOOK
    (improving,) = best_step_shares(round_of(0, IMPROVING, fixed(schedule=schedule)))
    assert improving.status is Status.LOOK


def test_in14_best_steps_that_are_early_by_overfitting_ask_for_regularization_first():
    (found,) = best_step_shares(round_of(0, Shapes(validation=best_early)))
    assert found.status is Status.LOOK
    assert "because validation gets worse again afterwards" in found.sentence
    assert found.proposal is None


def test_un5_a_long_warmup_asks_for_more_steps():
    (found,) = warmup(round_of(0, Shapes(), fixed(warmup_steps=150)))
    assert (found.status, found.proposal.changes) == (Status.LOOK, (TrainSteps(3000),))
    (found,) = warmup(round_of(0, Shapes(), fixed(warmup_steps=100)))
    assert found.status is Status.PASSES


# ---------------------------------------------------------------------- instability


def best_at_edge(evidence):
    """The same round, in which the best learning rate is the largest that is stable."""
    off = {trial.id: UNSTABLE_FROM / number(trial.values, "learning_rate") for trial in evidence.trials}
    trials = [replace(trial, objective=off[trial.id] if off[trial.id] > 1 else 1e6) for trial in evidence.trials]
    return replace(evidence, trials=tuple(trials))


def test_un8_early_instability_asks_for_warmup_first_and_that_in_the_middle_for_clipping():
    early = best_at_edge(round_of(0, Shapes(loss=starts_badly, norm=norms)))
    (found,) = instability(early)
    assert found.numbers["num_early"] == found.numbers["num_unstable"] > 0
    assert found.proposal.changes == (Fix("warmup_steps", 100),)
    middle = best_at_edge(round_of(0, Shapes(loss=jumps, norm=norms)))
    (found,) = instability(middle)
    assert found.numbers["num_middle"] == found.numbers["num_unstable"] > 0
    (change,) = found.proposal.changes
    stable = next(trial for trial in middle.ranked if number(trial.values, "learning_rate") < UNSTABLE_FROM)
    percentile = middle.curves[stable.id].digests["gradient_norm"].quantiles[90]
    assert (change.name, change.value) == ("clipping_norm", float(f"{percentile:.3g}"))
    words = ["clip", "another optimizer", "residual connections", "a lower learning rate comes last"]
    places = [found.proposal.sentence.lower().index(word) for word in words]
    assert places == sorted(places)
    assert "raytune-playbook stability ROUND" in found.proposal.sentence


def test_un6_what_is_clipped_already_is_clipped_more_unless_most_updates_would_be():
    found = {}
    for norm in (3.0, 1.2):
        (found[norm],) = instability(
            best_at_edge(round_of(0, Shapes(loss=jumps, norm=norms), fixed(clipping_norm=norm)))
        )
    assert found[3.0].proposal.changes == (Fix("clipping_norm", 1.5),)
    assert found[1.2].proposal.changes == ()  # the median is about 1


def test_un1_the_unstable_base_learning_rate_is_the_smallest_that_is_unstable():
    evidence = round_of(0, Shapes(loss=jumps))
    (found,) = instability(evidence)
    rates = [number(trial.values, "learning_rate") for trial in evidence.trials]
    assert found.numbers["unstable_base_learning_rate"] == min(rate for rate in rates if rate >= UNSTABLE_FROM)
    assert "Gradient norms were not logged" in found.sentence


def test_un1_where_small_learning_rates_are_as_unstable_none_is_named():
    def jumps_anywhere(values, shares, rng):
        return (
            jumps({**values, "learning_rate": 0.2}, shares, rng) if rng.uniform() < 0.5 else learns(values, shares, rng)
        )

    rounds = [instability(round_of(seed, Shapes(loss=jumps_anywhere)))[0] for seed in range(20)]
    assert min(found.numbers["num_unstable"] for found in rounds) > 0
    assert sum("unstable_base_learning_rate" in found.numbers for found in rounds) <= 2


def test_un1_instability_far_above_the_best_learning_rate_is_no_issue():
    evidence = round_of(0, Shapes(loss=jumps))
    slow_is_best = {
        trial.id: replace(trial, objective=number(trial.values, "learning_rate")) for trial in evidence.trials
    }
    (found,) = instability(replace(evidence, trials=tuple(slow_is_best.values())))
    assert found.status is Status.PASSES
    assert "instability is no issue" in found.sentence


def test_in4_trials_that_diverged_are_unstable_and_those_out_of_memory_are_not():
    evidence = round_of(0, Shapes(loss=learns))
    (found,) = instability(_infeasible(evidence, "diverged: training loss 9 over the last interval exceeds"))
    assert found.numbers["num_ended"] == sum(number(t.values, "learning_rate") > UNSTABLE_FROM for t in evidence.trials)
    (found,) = instability(_infeasible(evidence, "out of memory: 3 GiB"))
    assert found.numbers["num_unstable"] == 0


def test_sd5_in4_learning_rates_of_two_optimizers_are_looked_at_each_by_itself():
    def branch(evidence, optimizer, factor):
        """The same as a study of its own, whose learning rates are larger and have a name of their own."""
        name, (study,) = f"optimizer={optimizer}", evidence.studies
        rates = {each.id: factor * number(each.values, "learning_rate") for each in evidence.trials}
        trials = tuple(
            replace(
                each,
                study=name,
                values={**each.values, "learning_rate": rates[each.id], f"{optimizer}.learning_rate": rates[each.id]},
            )
            for each in evidence.trials
        )
        space = {
            f"{optimizer}.learning_rate" if each == "learning_rate" else each: given
            for each, given in study.space.items()
        }
        curves = {(name, key): replace(each, trial=(name, key)) for (_, key), each in evidence.curves.items()}
        return study.model_copy(update={"name": name, "arm": {"optimizer": optimizer}, "space": space}), trials, curves

    shaky = best_at_edge(round_of(0, Shapes(loss=jumps, norm=norms)))
    calm = round_of(1, Shapes(loss=learns, norm=norms))
    (alone,) = instability(shaky)
    parts = [branch(shaky, "nesterov", 1), branch(calm, "adam", 0.01)]
    both = replace(
        shaky,
        studies=tuple(study for study, _, _ in parts),
        trials=tuple(trial for _, trials, _ in parts for trial in trials),
        curves={trial: each for _, _, curves in parts for trial, each in curves.items()},
    )
    nesterov, adam = instability(both)
    assert nesterov.sentence == f"optimizer=nesterov: {alone.sentence}".replace("(all/", "(optimizer=nesterov/")
    assert nesterov.numbers == alone.numbers
    assert adam.status is Status.PASSES
    assert adam.sentence.startswith("optimizer=adam: No trial is unstable, of ")


def _infeasible(evidence, reason):
    trials = tuple(
        replace(trial, outcome=Outcome.INFEASIBLE, reason=reason, objective=None)
        if number(trial.values, "learning_rate") > UNSTABLE_FROM
        else trial
        for trial in evidence.trials
    )
    return replace(evidence, trials=trials)


def test_un2_a_spike_of_the_gradient_norm_is_seen_even_where_the_loss_shows_nothing():
    evidence = round_of(0, Shapes(loss=learns, norm=norms))
    best = evidence.ranked[0]
    curves = evidence.curves[best.id]
    spiked = curves.steps["gradient_norm"].values.copy()
    spiked[1500] = 100.0
    steps = {**curves.steps, "gradient_norm": Curve(curves.steps["gradient_norm"].steps, spiked)}
    spiked_curves = TrialCurves(best.id, curves.evaluations, steps, curves.digests)
    (found,) = instability(replace(evidence, curves={**evidence.curves, best.id: spiked_curves}))
    assert found.trials == (best.id,)
    assert "a gradient norm of" in found.sentence
    assert "at step 1,501" in found.sentence


def test_un7_too_much_clipping_asks_for_lower_learning_rates():
    evidence = round_of(0, Shapes(norm=norms), fixed(clipping_norm=0.5))
    (found,) = clipping(evidence)
    quantiles = evidence.curves[evidence.ranked[0].id].digests["gradient_norm"].quantiles
    looser, lower = found.proposal.changes
    assert looser == Fix("clipping_norm", float(f"{quantiles[90]:.3g}"))
    assert lower.hyperparameter.low == pytest.approx(1e-3 * 0.5 / quantiles[50], rel=0.05)
    (found,) = clipping(round_of(0, Shapes(), fixed(clipping_norm=0.5)))
    assert (found.status, found.sentence) == (Status.CANNOT_TELL, "Gradient norms over training were not recorded.")


# ---------------------------------------------------------------------- training loss, input


def test_in9_a_loss_that_rises_at_any_learning_rate_withholds_the_answer():
    (found,) = rising_loss(round_of(0, Shapes(loss=loss_rises)))
    assert (found.status, found.withholds) == (Status.PROBLEM, True)


def test_in9_a_loss_that_rises_with_learning_rates_above_the_best_is_no_bug():
    def rises_if_large(values, shares, rng):
        is_large = number(values, "learning_rate") > 0.3
        return loss_rises(values, shares, rng) if is_large else learns(values, shares, rng)

    evidence = round_of(1, Shapes(loss=rises_if_large))
    (found,) = rising_loss(evidence)
    assert found.status is Status.PASSES
    rates = [number(trial.values, "learning_rate") for trial in evidence.trials]
    assert found.numbers["learning_rate"] == min(rate for rate in rates if rate > 0.3)


def test_in9_without_losses_of_steps_evaluations_of_training_examples_tell():
    evidence = round_of(0, Shapes(loss=loss_rises))
    curves = {id_: TrialCurves(id_, old.evaluations, {}) for id_, old in evidence.curves.items()}
    assert all(Evaluation("train", "loss") in old.evaluations for old in curves.values())
    (found,) = rising_loss(replace(evidence, curves=curves))
    assert found.status is Status.PROBLEM


def test_pi1_waiting_for_input_is_found_with_the_sentence_that_the_terminal_shows():
    evidence = round_of(0, Shapes())
    busy = TimeByPart(wait_s=6.0, compute_s=4.0)
    trials = tuple(replace(t, training=replace(t.training, time_by_part=busy)) for t in evidence.trials)
    (found,) = waiting(replace(evidence, trials=trials))
    assert found.status is Status.LOOK
    assert f"PI1: {found.sentence}" == input_bound_sentence(trials, evidence.examples)
    (found,) = waiting(evidence)
    assert found.status is Status.CANNOT_TELL
