"""The questions about the comparison: their sentences, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.analysis.answer.answer import Verdict, answer_of
from raytune_playbook.analysis.findings.changes import NumTrials
from raytune_playbook.analysis.findings.comparison.cost import cost
from raytune_playbook.analysis.findings.comparison.equal_tuning import equal_tuning
from raytune_playbook.analysis.findings.comparison.gradient_accumulation import gradient_accumulation
from raytune_playbook.analysis.findings.comparison.rare_classes import rare_classes
from raytune_playbook.analysis.findings.comparison.rules_of_thumb import rules_of_thumb
from raytune_playbook.analysis.findings.comparison.same_conditions import same_conditions
from raytune_playbook.analysis.findings.comparison.stopped_early import stopped_early
from raytune_playbook.analysis.findings.comparison.unfinished import unfinished
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.records.types import Attempt, Machine, Outcome, Training
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from raytune_playbook.study.study import WorkloadSpec
from tests.analysis.findings.comparison.cases import changed, classes, is_sync, slower


def plain(seed=0):
    return changed(seed, lambda trial, rng: trial)


def fewer(number):
    """Of 8 trials with sync so many are left."""
    evidence = plain()
    kept = tuple(trial for trial in evidence.trials if not is_sync(trial) or trial.index < number)
    return replace(evidence, trials=kept)


def test_sd13_a_value_that_had_fewer_trials_is_named():
    (found,) = equal_tuning(fewer(5))
    assert found.status is Status.PROBLEM
    assert found.sentence.startswith("norm=device was tuned with 8 trials, but norm=sync with 5: ")
    assert (found.studies, found.withholds) == (("norm=sync",), False)
    assert "resume" in found.proposal.sentence
    (running,) = equal_tuning(replace(fewer(5), is_finished=False))
    assert running.status is Status.LOOK
    assert equal_tuning(fewer(7))[0].status is Status.LOOK
    assert equal_tuning(plain())[0].sentence == "Each of 2 values was tuned with 8 trials, over the same ranges."


def test_sd5_sd13_values_with_spaces_of_their_own_are_tuned_as_much():
    evidence = plain()
    own = tuple(
        study.model_copy(update={"space": {f"{place}.learning_rate": Float(0.01 * 10**place, 1.0, scale="log")}})
        for place, study in enumerate(evidence.studies)
    )
    (found,) = equal_tuning(replace(evidence, studies=own))
    assert found.status is Status.PASSES
    assert found.sentence == "Each of 2 values was tuned with 8 trials, each over its own ranges."


def test_sd13_what_a_random_search_of_another_tool_has_drawn_is_about_as_many():
    nobodys = WorkloadSpec(module="", name="csv", settings={}, source_hash="")

    def found(number):
        evidence = changed(0, lambda trial, rng: trial, trials_per_arm=40)
        kept = tuple(trial for trial in evidence.trials if not is_sync(trial) or trial.index < number)
        studies = tuple(study.model_copy(update={"workload": nobodys}) for study in evidence.studies)
        return equal_tuning(replace(evidence, trials=kept, studies=studies))[0]

    assert found(38).sentence == "Each of 2 values was tuned with 38 to 40 trials, over the same ranges."
    assert found(37).status is Status.LOOK
    assert "resume" not in found(37).proposal.sentence


def test_in18_far_too_few_trials_withhold_the_answer():
    evidence = fewer(3)
    (found,) = equal_tuning(evidence)
    assert found.withholds
    answer = answer_of(evidence, (found,), ())
    assert answer.verdict is Verdict.CANNOT_TELL
    assert found.sentence in answer.sentence


def test_sd13_infeasible_trials_count_and_crashed_ones_do_not():
    def infeasible(trial, rng):
        ends = Outcome.INFEASIBLE if is_sync(trial) and trial.index > 2 else trial.outcome
        return replace(trial, outcome=ends, objective=trial.objective if ends == trial.outcome else None)

    assert equal_tuning(changed(0, infeasible))[0].status is Status.PASSES

    def crashed(trial, rng):
        return replace(infeasible(trial, rng), outcome=Outcome.FAILED) if is_sync(trial) and trial.index > 2 else trial

    assert equal_tuning(changed(0, crashed))[0].numbers == {"num_usual": 8, "share": 3 / 8}


def test_sd13_values_that_were_planned_with_fewer_trials_get_as_many():
    evidence = fewer(4)
    device, sync = evidence.studies
    (found,) = equal_tuning(replace(evidence, studies=(device, sync.model_copy(update={"num_trials": 4}))))
    assert found.proposal.changes == (NumTrials(8),)


def test_sd13_other_ranges_and_more_hyperparameters_are_not_equal():
    evidence = plain()
    device, sync = evidence.studies
    wider = sync.model_copy(update={"space": {"learning_rate": Float(1e-5, 1.0, scale="log")}})
    (found,) = equal_tuning(replace(evidence, studies=(device, wider)))
    assert found.status is Status.PROBLEM
    assert found.sentence.startswith("learning_rate was searched over another range")
    more = sync.model_copy(update={"space": sync.space | {"dropout": Float(0, 1)}})
    (found,) = equal_tuning(replace(evidence, studies=(device, more)))
    assert found.status is Status.LOOK
    assert found.sentence.startswith("norm=sync has 2 hyperparameters to tune and norm=device 1, ")


def test_sd4_each_warning_of_the_round_is_a_finding_with_its_advice():
    warnings = (
        "SD4: momentum is fixed, but its best value moves with every change of the pipeline; make it nuisance, or say "
        "why in Round(reasons={'momentum': ...}).",
        "SD1: a round's goal should be narrow, but it has 2 scientific hyperparameters (depth, width); split it.",
        "Trials are few.",
    )
    evidence = replace(plain(), warnings=warnings, roles={"momentum": "fixed"})
    momentum, goal, other = rules_of_thumb(evidence)
    assert (momentum.rule, momentum.status) == ("SD4", Status.LOOK)
    assert momentum.sentence == "momentum is fixed, but its best value moves with every change of the pipeline."
    assert momentum.proposal.sentence.startswith("Make momentum nuisance, or say why in Round(reasons=")
    assert (goal.rule, goal.proposal.sentence) == ("SD1", "Split it.")
    assert (other.rule, other.sentence, other.proposal) == ("SD4", "Trials are few.", None)
    assert rules_of_thumb(plain())[0].status is Status.PASSES


def test_in20_the_better_value_is_weighed_against_its_cost():
    (found,) = cost(slower(3)(0))
    assert found.status is Status.LOOK
    assert found.sentence.startswith("The best value, norm=sync, takes ")
    assert "times the time of a step with norm=device (" in found.sentence
    assert found.studies == ("norm=sync",)
    assert found.proposal.sentence == "Weigh what norm=sync gains against its cost before you adopt it."
    # What is dearer and worse is no question.
    assert cost(slower(1 / 3)(0))[0].status is Status.PASSES
    (unknown,) = cost(changed(0, lambda trial, rng: replace(trial, training=None)))
    assert unknown.status is Status.CANNOT_TELL


def test_in20_of_values_that_tie_the_cheapest_is_looked_at():
    evidence = changed(0, lambda trial, rng: replace(slower_trial(trial), objective=0.0142))
    (found,) = cost(evidence)
    assert found.status is Status.PASSES
    assert found.numbers["step_s"] == pytest.approx(0.01)


def test_in20_of_values_that_tie_one_that_takes_much_more_parameters_is_not_the_best():
    def change(trial, rng):
        size, train_s = (10, 0.9) if is_sync(trial) else (1, 1.0)
        return replace(trial, objective=0.0, training=Training(10, num_parameters=1000 * size, train_s=train_s))

    (found,) = cost(changed(0, change))
    assert (found.status, found.numbers["num_parameters"]) == (Status.PASSES, 1000)


def slower_trial(trial):
    return replace(
        trial, training=Training(num_steps=1000, num_parameters=10, train_s=30.0 if is_sync(trial) else 10.0)
    )


def test_in20_memory_and_parameters_count_too():
    def change(trial, rng):
        size = 4 if is_sync(trial) else 1
        made = Training(num_steps=10, num_parameters=1000 * size, train_s=1.0, peak_memory_bytes=size * 2**30)
        return replace(trial, training=made)

    (found,) = cost(changed(0, change))
    assert found.sentence == (
        "The best value, norm=sync, takes 4 times the memory with norm=device (4 GiB, not 1 GiB) and 4 times the "
        "parameters with norm=device (4,000, not 1,000)."
    )


def test_ev6_one_example_of_a_rare_class_is_named_with_the_counts():
    evidence = classes(12)(0)
    (found,) = rare_classes(evidence)
    assert found.sentence == (
        "Class rare has 12 examples, so one more that is right raises its sensitivity by 0.083. Right in the best "
        "trial: 10 with norm=device, 8 with norm=sync."
    )
    assert found.trials == tuple(arm.best.id for arm in evidence.arms)
    assert rare_classes(plain())[0].status is Status.CANNOT_TELL


def attempted(*codes):
    return tuple(Attempt(place, "gang-0", "2026", "completed", source_hash=code) for place, code in enumerate(codes, 1))


def test_sd13_other_code_withholds_where_it_sets_the_best_trials_apart():
    between = changed(0, lambda trial, rng: replace(trial, attempts=attempted("b" if is_sync(trial) else "a")))
    (found,) = same_conditions(between)
    assert (found.status, found.withholds, found.numbers["num_others"]) == (Status.PROBLEM, True, 8)
    worst = between.ranked[-1].id
    few = changed(0, lambda trial, rng: replace(trial, attempts=attempted("b" if trial.id == worst else "a")))
    (found,) = same_conditions(few)
    assert (found.withholds, found.trials) == (False, (worst,))
    assert found.sentence.startswith("1 of 16 trials was trained by other code")
    resumed = changed(0, lambda trial, rng: replace(trial, attempts=attempted("a", "b")))
    assert same_conditions(resumed)[0].status is Status.PROBLEM
    assert same_conditions(plain())[0].status is Status.CANNOT_TELL


def test_sd13_other_machines_and_seeds_are_looked_at():
    def change(trial, rng):
        machine = Machine("2.13.0", "AVX512" if trial.index == 3 else "AVX2", "cpu", 1, 1, (f"node-{trial.index}",))
        return replace(trial, machine=machine, attempts=attempted("a"))

    evidence = changed(0, change)
    (found,) = same_conditions(evidence)
    assert (found.status, found.withholds, len(found.trials)) == (Status.LOOK, False, 2)
    assert "so their numbers differ from the others' by rounding" in found.sentence
    assert "(cpu AVX2 torch 2.13.0 1 x 1 threads, cpu AVX512" in found.sentence
    device, sync = evidence.studies
    other = replace(evidence, studies=(device, sync.model_copy(update={"seed": 9})))
    assert [found.status for found in same_conditions(other)] == [Status.LOOK] * 2


def test_ck4_trials_without_steps_or_of_all_steps():
    assert stopped_early(plain())[0].status is Status.PASSES
    unknown = changed(0, lambda trial, rng: replace(trial, training=None))
    assert stopped_early(unknown)[0].status is Status.CANNOT_TELL


def stopping(is_stopped):
    """Trials that were stopped at step 200 of 1,000."""

    def change(trial, rng):
        reason = "stopped early at step 200 of 1,000" if is_stopped(trial) else None
        num_steps = 200 if reason else 1000
        return replace(trial, reason=reason, training=Training(num_steps=num_steps, num_parameters=10, train_s=1.0))

    return change


def test_ck4_the_answer_is_withheld_where_a_best_trial_or_most_of_a_value_were_stopped():
    order = {trial.id: place for arm in plain().arms for place, trial in enumerate(arm.ranked)}
    cases = (
        (lambda trial: order[trial.id] >= 4, None),
        (lambda trial: order[trial.id] == 7 and not is_sync(trial), None),
        (lambda trial: order[trial.id] == 0 and not is_sync(trial), "the best one of norm=device among them"),
        (lambda trial: order[trial.id] == 0, "the best one of 2 values among them"),
        (lambda trial: order[trial.id] >= 3 and is_sync(trial), "of norm=sync 5 of 8: what most would have come to"),
    )
    for is_stopped, words in cases:
        evidence = changed(0, stopping(is_stopped))
        (found,) = stopped_early(evidence)
        assert found.numbers["num_stopped"] == len(found.trials) == sum(map(is_stopped, evidence.trials))
        withheld = answer_of(evidence, [found], ()).verdict is Verdict.CANNOT_TELL
        assert (found.status is Status.PROBLEM, found.withholds, withheld) == (words is not None,) * 3
        assert words is None or words in found.sentence
        verb = "was" if len(found.trials) == 1 else "were"
        assert found.sentence.startswith(f"{len(found.trials)} of 16 trials {verb} stopped early")


def test_ck4_nothing_is_withheld_where_one_study_was_searched_alone():
    evidence = changed(0, stopping(lambda trial: True))
    alone = replace(evidence, studies=evidence.studies[:1], trials=evidence.trials[:8])
    (found,) = stopped_early(alone)
    assert (found.status, found.withholds) == (Status.LOOK, False)
    unknown = replace(alone, trials=tuple(replace(trial, training=None) for trial in alone.trials))
    assert stopped_early(unknown)[0].numbers["num_stopped"] == 8


def test_in18_trials_that_have_not_ended_are_counted():
    (found,) = unfinished(fewer(3))
    assert found.sentence == "11 of 16 trials have ended; the others may still change the answer."
    assert unfinished(plain())[0].status is Status.PASSES
    (last,) = unfinished(fewer(7))
    assert last.sentence == "15 of 16 trials have ended; the other may still change the answer."
    (first,) = unfinished(replace(plain(), trials=plain().trials[:1]))
    assert first.sentence == "1 of 16 trials has ended; the others may still change the answer."


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("gradient_accumulation_steps", 4, Status.LOOK),
        ("accumulate_grad_batches", 1, Status.PASSES),
        ("trainer.accumulate_grad_batches", 2, Status.LOOK),
    ],
)
def test_ba8_accumulated_gradients_bring_no_throughput(name, value, status):
    evidence = changed(0, lambda trial, rng: replace(trial, values={**trial.values, name: value}))
    assert gradient_accumulation(evidence)[0].status is status
