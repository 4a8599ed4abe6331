"""The parts that a study trains, and what its record says of generated ones (rules SD11, UN3 to UN9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.procedures.stability import parts
from raytune_playbook.procedures.stability.judging import judged
from raytune_playbook.procedures.stability.mends import mend_of
from raytune_playbook.procedures.stability.parts import Baseline, baseline_of
from raytune_playbook.procedures.stability.record import completed
from raytune_playbook.procedures.stability.study import Study
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.types import Outcome
from raytune_playbook.report.figures.procedure import procedure_figure
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Float
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget, Objective
from raytune_playbook.workloads.text import StandardLibraryText
from tests.procedures.stability.cases import Training, blows_up, curves_of, part, stable

RATE = 0.1


@pytest.fixture
def baseline() -> Baseline:
    """The best of a round of 400 steps: momentum at a learning rate of 0.1 without normalization."""
    round_ = Round(
        name="text",
        goal="Does the residual order matter?",
        workload=StandardLibraryText(),
        scientific={"residual_order": Categorical(["norm_last", "norm_first"])},
        nuisance={"learning_rate": Float(0.01, 1.0, scale="log")},
        fixed={"optimizer": "momentum", "normalization": "none", "schedule": "cosine"},
        budget=Budget(num_trials=8, max_train_steps=400, evaluation_interval_steps=40, target=0.5),
    )
    trial = Trial("residual_order=norm_first", 1, outcome=Outcome.COMPLETED, objective=0.2)
    found = baseline_of(round_, trial)
    assert found is not None
    return Baseline(round_, trial, found.values, RATE)


def study_of(baseline: Baseline, sweep: Sequence[Training], check: Sequence[Training] = ()) -> Study:
    best = curves_of(baseline.trial, stable(RATE))
    return Study(baseline, best, judged(part(sweep)), judged(part(check or [stable(0.2)])))


def recorded(study: Study) -> ProcedureRecord:
    draft = ProcedureRecord(
        procedure="stability", round="text", workload="Text", verdict="", command="c", ended_at="2026-01-01T00:00:00"
    )
    return completed(draft, study, "text.py")


# ---------------------------------------------------------------------- parts


def test_sd11_all_trainings_of_a_part_are_equally_long_and_that_of_the_warmup_study_as_its_warmup_asks(baseline):
    whole = parts.sweep(baseline, "g", baseline.rates, {"clipping_norm": 1.0})
    short = parts.warmup_part(baseline, "g", [1.0, 2.0], 30)
    for round_ in (whole, short):
        assert len(round_.studies) == 1
        assert round_.budget.target is None  # a target would end some of them early
    study = whole.studies[0]
    assert (study.max_train_steps, study.evaluation_interval_steps, study.num_trials) == (400, 40, 7)
    assert study.fixed["clipping_norm"] == 1.0
    assert study.fixed["schedule"] == "cosine"
    study = short.studies[0]
    assert (study.max_train_steps, study.fixed["warmup_steps"]) == (60, 30)  # UN4: twice as many after the warmup
    assert study.fixed["schedule"] == "constant"


def test_un1_the_sweep_holds_the_best_configuration_at_rates_around_and_above_its_own(baseline):
    round_ = parts.sweep(baseline, "g", baseline.rates)
    rates = [point["learning_rate"] for point in round_.configurations]
    assert rates == [0.05, 0.1, 0.14, 0.2, 0.3, 0.5, 1.0]
    assert round_.studies[0].fixed["residual_order"] == "norm_first"
    assert round_.studies[0].fixed["normalization"] == "none"
    assert round_.seed == baseline.round.seed


def test_un3_the_check_is_evaluated_at_every_step_of_500_or_fewer(baseline):
    round_ = parts.early_check(baseline, "g", 200)
    assert [point["learning_rate"] for point in round_.configurations] == [0.2]
    assert (round_.budget.max_train_steps, round_.budget.evaluation_interval_steps) == (400, 1)
    assert round_.budget.checkpoint_interval_steps == 400
    assert round_.studies[0].fixed["schedule"] == "cosine"
    assert round_.studies[0].fixed["evaluation_sample"] is None
    longer = baseline.round.model_copy(
        update={"budget": Budget(**{**dict(baseline.round.budget), "max_train_steps": 9000})}
    )
    round_ = parts.early_check(Baseline(longer, baseline.trial, baseline.values, RATE), "g", 9000)
    assert round_.budget.max_train_steps == 500
    assert round_.studies[0].fixed["schedule"] == "constant"  # of 9,000 steps the first are before any decay
    assert round_.studies[0].fixed["evaluation_sample"] == 256


def test_a_configuration_has_the_values_that_its_trial_had_under_the_workloads_names():
    round_ = Round(
        name="text",
        goal="Which optimizer?",
        workload=StandardLibraryText(),
        scientific={"optimizer": Categorical(["adam", "momentum"])},
        nuisance={
            "adam.learning_rate": Float(1e-4, 1e-2, scale="log", when={"optimizer": "adam"}),
            "momentum.learning_rate": Float(1e-2, 1.0, scale="log", when={"optimizer": "momentum"}),
        },
        budget=Budget(num_trials=8, max_train_steps=400, evaluation_interval_steps=40),
    )
    found = baseline_of(round_, Trial("optimizer=momentum", 0))
    assert found is not None
    assert 0.01 <= found.learning_rate <= 1.0
    assert found.values["optimizer"] == "momentum"
    assert parts.sweep(found, "g", found.rates).studies[0].fixed["optimizer"] == "momentum"


# ---------------------------------------------------------------------- records


def test_stable_up_to_ten_times_is_no_issue(baseline):
    record = recorded(study_of(baseline, [stable(rate) for rate in baseline.rates]))
    assert record.is_good is True
    assert record.verdict == "Training is stable up to 10 times the best learning rate, 0.1: instability is no issue."
    assert record.numbers["kind"] == "none"
    assert record.numbers["unstable_base_learning_rate"] is None
    assert record.numbers["largest_stable_learning_rate"] == 1.0
    assert record.numbers["is_limiting"] is False
    assert "show no instability" in record.sentences[0]
    assert [each.command for each in record.next] == [None]


def test_un1_instability_far_above_the_best_is_no_issue(baseline):
    sweep = [*(stable(rate) for rate in baseline.rates[:-2]), blows_up(0.5, 20), blows_up(1.0, 20)]
    record = recorded(study_of(baseline, sweep))
    assert record.numbers["unstable_base_learning_rate"] == 0.5
    assert record.numbers["is_limiting"] is False
    assert record.is_good is True
    assert "far above" in record.verdict


def limited(baseline: Baseline, at_step: int = 20) -> Study:
    """Unstable from twice the best learning rate on."""
    sweep = [stable(0.05, objective=0.3), stable(0.1, objective=0.2), stable(0.14, objective=0.21)]
    return study_of(baseline, [*sweep, *(blows_up(rate, at_step) for rate in (0.2, 0.3, 0.5, 1.0))])


def test_un8_what_nothing_mends_names_the_remedies_that_are_left_in_the_playbooks_order(baseline):
    record = recorded(limited(baseline))
    assert record.is_good is False
    assert record.numbers["kind"] == "early"
    assert record.numbers["unstable_base_learning_rate"] == 0.2
    table = record.tables[-1]
    assert [row[0] for row in table.rows] == [
        "warmup",
        "gradient clipping",
        "another optimizer",
        "residual branches",
        "a lower learning rate",
    ]
    assert "optimizer='adam' instead of 'momentum'" in str(table.rows[2][2])
    assert "normalization other than 'none', residual_order='norm_last', zero_residual=True" in str(
        table.rows[3][2]
    )  # UN9
    assert record.next[0].command == "raytune-playbook run text.py"
    sentence = record.next[0].sentence
    assert sentence.index("optimizer=") < sentence.index("zero_residual") < sentence.index("at most 0.14")
    assert recorded(limited(baseline, at_step=200)).numbers["kind"] == "mid"


def test_un4_un5_a_warmup_that_mends_is_written_into_the_job_and_its_length_is_weighed(baseline):
    study = limited(baseline)
    warm = judged(part([stable(rate, objective=0.1 + rate / 10) for rate in (0.05, 0.1, 0.14, 0.2, 0.3)]))
    mend = mend_of("warmup_steps", 40, study.sweep, warm, Objective())
    tried = {
        13: judged(part([stable(0.2), blows_up(0.3, 5), blows_up(2.0, 5)], 26, {"warmup_steps": 13})),
        40: judged(part([stable(0.2), stable(0.3), blows_up(2.0, 5)], 80, {"warmup_steps": 40})),
    }
    mended = Study(baseline, study.best, study.sweep, study.check, tried, 2.0, (mend,))
    record = recorded(mended)
    assert record.is_good is True
    assert "A warmup of 40 steps mends it: training is stable up to 0.3 rather than 0.14" in record.verdict
    assert "and its best validation error is 0.105 instead of 0.2" in record.verdict
    as_good = mend_of("warmup_steps", 40, study.sweep, judged(part([stable(0.2, objective=0.2)])), Objective())
    assert "is 0.2 as without" in recorded(replace(mended, mends=(as_good,))).verdict
    assert record.numbers["remedy"] == "warmup_steps"
    assert record.numbers["warmup_steps"] == 40
    assert record.numbers["widening_by_warmup"] == pytest.approx(0.3 / 0.14)
    assert record.numbers["baseline_objective"] == 0.2
    assert record.numbers["warmup_objective"] == pytest.approx(0.105)
    said = " ".join(record.sentences)
    assert "none is stable there, but up to 0.3, with 40 steps" in said
    assert "10% of max_train_steps, more than 5%" in said
    assert "raise max_train_steps to 800" in said
    assert record.next[0].sentence.startswith("In the job, under a new name, add 'warmup_steps': 40 to fixed")
    assert "from 0.05 to 0.3" in record.next[0].sentence
    study_table = record.tables[1]
    assert study_table.rows[0] == (13, "stable", "unstable, early", "unstable, early")


def test_un6_un7_clipping_most_updates_is_called_a_lower_learning_rate_and_recommended_to_nobody(baseline):
    study = limited(baseline)
    norms = np.where(np.arange(400) % 10 < 6, 2.0, 0.5)
    clipped = judged(part([stable(rate, norms=norms) for rate in (0.1, 0.2, 0.3)], fixed={"clipping_norm": 1.0}))
    mend = mend_of("clipping_norm", 1.0, study.sweep, clipped, Objective())
    record = recorded(Study(baseline, study.best, study.sweep, study.check, {}, None, (mend,)))
    assert record.is_good is False
    assert record.numbers["remedy"] is None
    assert record.numbers["clipped_share"] == pytest.approx(0.6, abs=0.01)
    assert "strange way of reducing the learning rate; lower that instead" in " ".join(record.sentences)
    assert "in essence a lower learning rate" in record.verdict


def test_un3_a_check_that_is_unstable_counts_though_the_sweep_does_not_show_it(baseline):
    record = recorded(study_of(baseline, [stable(rate) for rate in baseline.rates], [blows_up(0.2, 9)]))
    assert record.numbers["unstable_base_learning_rate"] == 0.2
    assert record.numbers["is_limiting"] is True
    assert record.numbers["kind"] == "early"


def test_un2_the_plots_are_the_playbooks_figures_and_can_be_drawn(baseline):
    study = limited(baseline)
    norms = np.full(400, 0.5)
    clipped = judged(part([stable(rate, norms=norms) for rate in (0.1, 0.2)], fixed={"clipping_norm": 1.0}))
    mend = mend_of("clipping_norm", 1.0, study.sweep, clipped, Objective())
    tried = {13: judged(part([stable(0.2), blows_up(2.0, 5)], 26, {"warmup_steps": 13}))}
    record = recorded(Study(baseline, study.best, study.sweep, study.check, tried, 2.0, (mend,)))
    titles = [plot.title for plot in record.plots]
    assert titles == [
        "Loss at and above the best learning rate",
        "The first steps at 0.2, twice the best learning rate",
        "Gradient norms",
        "Histogram of gradient norms",
        "Warmup to 0.2",
        "Clipping at learning rate 0.2",
        "The stable range",
    ]
    losses, histogram = record.plots[0], record.plots[3]
    assert [series.name for series in losses.series][-1] == "1 (unstable, early)"
    drawn = [value for series in losses.series for value in series.y if value is not None]
    assert max(drawn) <= 10 * max(series.y[0] or 0 for series in losses.series)  # a loss that blows up hides no other
    assert sum(value or 0 for value in histogram.series[0].y) == pytest.approx(400, rel=0.02)
    assert all(procedure_figure(plot).data for plot in record.plots)
