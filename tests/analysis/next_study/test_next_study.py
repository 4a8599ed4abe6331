"""What findings propose, put together without contradictions (rule IN16)."""

from __future__ import annotations

import dataclasses

import pytest

from raytune_playbook.analysis.answer.answer import NUM_TO_BE_SURE
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Change, Drop, Fix, NumTrials, SearchOver, TrainSteps
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.findings.space.density import MIN_COMPLETED
from raytune_playbook.analysis.next_study.next_study import NextStudy, next_study_of
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int
from tests.analysis.findings.generated import Plan, generated

PROBLEM, LOOK, PASSES = Status.PROBLEM, Status.LOOK, Status.PASSES

SPACE = {
    "learning_rate": Float(0.003, 0.3, scale="log"),
    "dropout": Float(0.0, 0.5),
    "layers": Int(2, 8),
    "patch": Discrete([4, 8]),
    "activation": Categorical(["relu", "gelu"]),
}


def evidence(**fixed: int | float | str | None) -> Evidence:
    plan = Plan(
        arms=({"norm": "batch"}, {"norm": "layer"}, {"norm": "none"}),
        space=SPACE,
        fixed={"momentum": 0.9, **fixed},
        trials_per_arm=3,
        max_train_steps=200,
        evaluation_interval_steps=25,
    )
    return generated(plan, 0, lambda values, rng: 0.1)


def finding(rule: str, status: Status, *changes: Change, sentence: str = "It was seen.", advice: str = "") -> Finding:
    proposal = Proposal(advice or "Do it.", changes) if changes or advice else None
    return Finding(rule, "Is it so?", status, sentence, proposal=proposal)


def rate(low: float, high: float) -> SearchOver:
    return SearchOver("learning_rate", Float(low, high, scale="log"))


def of(*findings: Finding, **fixed: int | float | str | None) -> NextStudy:
    return next_study_of(evidence(**fixed), findings)


def changed(*findings: Finding, **fixed: int | float | str | None) -> list[Change]:
    return [each.change for each in of(*findings, **fixed).changes]


def sentences(*findings: Finding, **fixed: int | float | str | None) -> list[str]:
    return [each.sentence for each in of(*findings, **fixed).changes]


def test_in16_a_change_is_said_with_what_was_before_and_why() -> None:
    high = finding("IN1", PROBLEM, rate(0.003, 3), sentence="Good points lie at 0.3. Widen it.")
    assert sentences(high) == [
        "Search learning_rate from 0.003 to 3 on a log scale (it was 0.003 to 0.3): Good points lie at 0.3 (IN1)."
    ]
    assert sentences(finding("IN1", LOOK, SearchOver("dropout", Float(0.01, 0.5, scale="log")))) == [
        "Search dropout from 0.01 to 0.5 on a log scale (it was 0 to 0.5 on a linear scale): It was seen (IN1)."
    ]
    assert sentences(finding("UN2", LOOK, SearchOver("momentum", Float(0.5, 0.99)))) == [
        "Search momentum from 0.5 to 0.99 (it was fixed at 0.9): It was seen (UN2)."
    ]
    assert sentences(finding("IN19", LOOK, Fix("layers", 4))) == [
        "Fix layers at 4 (it was 2 to 8): It was seen (IN19)."
    ]
    assert sentences(finding("IN19", LOOK, Drop("norm", ("layer",)))) == [
        "Leave layer out of norm (left are batch and none): It was seen (IN19)."
    ]
    assert sentences(finding("IN2", LOOK, NumTrials(12)), finding("IN8", LOOK, TrainSteps(400))) == [
        "Give every study 12 trials (it had 3): It was seen (IN2).",
        "Train every trial for 400 steps (it was 200): It was seen (IN8).",
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((LOOK, rate(0.003, 3)), (LOOK, rate(0.0003, 0.3)), (0.0003, 3)),
        ((PROBLEM, rate(0.003, 1)), (LOOK, rate(0.003, 3)), (0.003, 3)),
        ((LOOK, rate(0.01, 0.3)), (LOOK, rate(0.03, 0.1)), (0.01, 0.1)),
        ((PROBLEM, rate(0.003, 0.1)), (LOOK, rate(0.003, 3)), (0.003, 0.1)),
        ((LOOK, rate(0.003, 0.1)), (PROBLEM, rate(0.003, 3)), (0.003, 3)),
        ((LOOK, rate(0.003, 0.1)), (LOOK, rate(0.003, 3)), (0.003, 3)),
        ((PROBLEM, rate(0.003, 0.1)), (LOOK, rate(0.0003, 0.3)), (0.0003, 0.1)),
    ],
)
def test_ranges_of_several_findings_are_put_together(
    first: tuple[Status, SearchOver], second: tuple[Status, SearchOver], expected: tuple[float, float]
) -> None:
    findings = (finding("A1", first[0], first[1]), finding("B2", second[0], second[1]))
    for order in (findings, findings[::-1]):
        assert changed(*order) == [rate(*expected)]
    wanted = {rule: change.hyperparameter for rule, (_, change) in zip(("A1", "B2"), (first, second), strict=True)}
    (only,) = of(*findings).changes
    for each in findings:  # a finding is named as one that asks for it, or as one that gives way
        is_asking = each.rule in [asking.rule for asking in only.findings]
        assert is_asking != (f"what {each.rule} asks for gives way" in only.sentence)
        range_ = wanted[each.rule]
        assert isinstance(range_, Float)
        assert is_asking == all(
            end == was or (now <= end if end < was else now > was)
            for end, was, now in [(range_.low, 0.003, expected[0]), (-range_.high, -0.3, -expected[1])]
        )


def test_an_end_close_to_one_is_said_with_all_its_digits() -> None:
    wide = Float(0.5, 0.99999, scale="log_one_minus")
    (sentence,) = sentences(finding("IN1", LOOK, SearchOver("momentum", wide)))
    assert "from 0.5 to 0.99999 on a log (1 - value) scale" in sentence


def test_values_of_several_findings_are_put_together() -> None:
    more = finding("IN1", LOOK, SearchOver("patch", Discrete([4, 8, 16])))
    other = finding("IN1", LOOK, SearchOver("patch", Discrete([2, 4, 8])))
    assert changed(more, other) == [SearchOver("patch", Discrete([2, 4, 8, 16]))]
    fewer = finding("IN3", PROBLEM, SearchOver("patch", Discrete([4])))
    assert changed(fewer, more) == [SearchOver("patch", Discrete([4, 16]))]
    swish = finding("IN19", LOOK, SearchOver("activation", Categorical(["swish", "gelu", "relu"])))
    assert changed(swish) == [SearchOver("activation", Categorical(["relu", "gelu", "swish"]))]


def test_another_scale_comes_from_the_most_serious_finding_that_changes_it() -> None:
    log = finding("IN3", LOOK, SearchOver("dropout", Float(0.01, 0.5, scale="log")))
    wider = finding("IN1", PROBLEM, SearchOver("dropout", Float(0.0, 0.9)))
    assert changed(log, wider) == [SearchOver("dropout", Float(0.01, 0.9, scale="log"))]
    below = finding("IN1", PROBLEM, SearchOver("dropout", Float(-1.0, 0.5)))  # which no log scale holds
    assert changed(log, below) == [below.proposal.changes[0] if below.proposal else None]


def test_fixing_gives_way_to_a_range_that_a_problem_asks_for() -> None:
    assert changed(finding("IN19", LOOK, Fix("dropout", 0.1)), finding("IN6", LOOK, _dropout())) == [
        Fix("dropout", 0.1)
    ]
    fix, search = finding("IN19", PROBLEM, Fix("dropout", 0.1)), finding("IN6", PROBLEM, _dropout())
    assert changed(fix, search) == [_dropout()]
    assert "what IN19 asks for gives way" in sentences(fix, search)[0]
    assert changed(finding("IN19", LOOK, Fix("dropout", 0.1)), search) == [_dropout()]


def _dropout() -> SearchOver:
    return SearchOver("dropout", Float(0.0, 0.8))


def test_of_what_is_compared_something_is_left() -> None:
    findings = [finding("IN19", LOOK, Drop("norm", (value,))) for value in ("none", "batch", "layer")]
    assert changed(*findings) == [Drop("norm", ("batch", "none"))]


def test_the_largest_number_of_trials_is_taken() -> None:
    assert changed(*(finding("IN2", LOOK, NumTrials(number)) for number in (10, 40, 20))) == [NumTrials(40)]
    assert changed(finding("IN2", LOOK, NumTrials(3))) == []  # as it was


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [([400, 800], 800), ([100, 50], 100), ([100, 400], 400), ([410], 425), ([10], 25), ([200], None), ([199], None)],
)
def test_ln3_when_in_doubt_training_is_longer_and_ends_with_an_evaluation(
    wanted: list[int], expected: int | None
) -> None:
    problems = [PROBLEM if steps < 200 else LOOK for steps in wanted]
    findings = [finding("IN8", status, TrainSteps(steps)) for status, steps in zip(problems, wanted, strict=True)]
    assert changed(*findings) == ([] if expected is None else [TrainSteps(expected)])


def test_ln5_a_linear_decay_keeps_its_length_and_no_decay_is_longer_than_the_training() -> None:
    longer, shorter = finding("IN8", LOOK, TrainSteps(400)), finding("IN8", LOOK, TrainSteps(100))
    assert changed(longer, schedule="linear", decay_steps=None) == [TrainSteps(400), Fix("decay_steps", 200)]
    assert changed(longer, schedule="linear", decay_steps=50) == [TrainSteps(400)]
    assert changed(longer, schedule="cosine", decay_steps=None) == [TrainSteps(400)]
    assert changed(shorter, schedule="linear", decay_steps=150) == [TrainSteps(100), Fix("decay_steps", 100)]
    assert changed(shorter, schedule="cosine", decay_steps=50) == [TrainSteps(100)]


def test_ln5_the_decay_of_a_length_that_gives_way_gives_way_with_it() -> None:
    shorter = finding("IN8", PROBLEM, TrainSteps(100), Fix("decay_steps", 100))
    longer = finding("IN14", LOOK, TrainSteps(400), Fix("decay_steps", 200))
    assert changed(shorter, longer, schedule="linear", decay_steps=150) == [TrainSteps(400)]
    assert changed(longer, schedule="linear", decay_steps=None) == [TrainSteps(400), Fix("decay_steps", 200)]


@pytest.mark.parametrize(
    ("searched", "asked", "expected"),
    [
        (Int(20, 200), (), Int(20, 100)),
        (Int(20, 80), (), None),
        (Int(150, 200), (), Categorical([100])),
        (Discrete([50, 100, 200]), (), Discrete([50, 100])),
        (Categorical([None, 50, 200]), (), Categorical([None, 50])),
        (Int(20, 80), (SearchOver("decay_steps", Int(20, 160)),), Int(20, 100)),
        (Int(20, 100), (SearchOver("decay_steps", Int(20, 160)),), None),
    ],
)
def test_ln5_lengths_of_a_decay_that_are_searched_are_no_longer_than_the_training(
    searched: Hyperparameter, asked: tuple[Change, ...], expected: Hyperparameter | None
) -> None:
    plan = Plan(space={"decay_steps": searched}, trials_per_arm=3, max_train_steps=200, evaluation_interval_steps=25)
    found = [finding("IN8", LOOK, TrainSteps(100)), finding("IN1", LOOK, *asked)]
    changes = [each.change for each in next_study_of(generated(plan, 0, lambda *_: 0.1), found).changes]
    assert changes == [TrainSteps(100), *([SearchOver("decay_steps", expected)] if expected else [])]


def test_ln5_a_decay_is_fixed_and_widened_within_the_training() -> None:
    space = {"decay_steps": Int(20, 200)}
    plan = Plan(space=space, trials_per_arm=3, max_train_steps=200, evaluation_interval_steps=25)
    evidence = generated(plan, 0, lambda *_: 0.1)
    fix, shorter = finding("IN19", LOOK, Fix("decay_steps", 150)), finding("IN8", LOOK, TrainSteps(100))
    assert [each.change for each in next_study_of(evidence, [fix, shorter]).changes] == [
        Fix("decay_steps", 100),
        TrainSteps(100),
    ]
    wider = finding("IN1", PROBLEM, SearchOver("decay_steps", Int(20, 290)))
    assert next_study_of(evidence, [wider]).changes == ()


def test_the_most_serious_comes_first() -> None:
    findings = [
        finding("IN2", LOOK, NumTrials(12)),
        finding("IN8", PROBLEM, TrainSteps(400)),
        dataclasses.replace(finding("IN1", PROBLEM, rate(0.003, 3)), withholds=True),
    ]
    assert changed(*findings) == [rate(0.003, 3), TrainSteps(400), NumTrials(12)]


def test_what_passes_proposes_only_where_no_problem_is_open() -> None:
    fix = finding("IN19", PASSES, Fix("dropout", 0.1))
    assert changed(fix, finding("IN2", LOOK, NumTrials(12))) == [NumTrials(12), Fix("dropout", 0.1)]
    assert changed(fix, finding("IN2", PROBLEM, NumTrials(12))) == [NumTrials(12)]


def test_more_trials_are_asked_for_where_too_few_answer_nothing_whatever_else_is_mended() -> None:
    problem, too_few = (
        finding("IN4", PROBLEM, Fix("clipping_norm", 2.0)),
        finding("IN2", Status.CANNOT_TELL, NumTrials(8)),
    )
    assert changed(problem, too_few) == [Fix("clipping_norm", 2.0), NumTrials(8)]
    assert changed(problem, finding("IN14", Status.CANNOT_TELL, TrainSteps(400))) == [Fix("clipping_norm", 2.0)]
    # What the answer misses is among it.
    assert MIN_COMPLETED >= NUM_TO_BE_SURE


def test_what_only_a_person_can_do_is_advice_said_once() -> None:
    bug = [finding("IN9", PROBLEM, advice="Look for a bug in the input pipeline.") for _ in range(2)]
    study = of(*bug, finding("IN2", LOOK, NumTrials(12)))
    assert study.advice == (("Look for a bug in the input pipeline.", bug[0]),)
    assert [each.change for each in study.changes] == [NumTrials(12)]


def test_a_round_without_open_findings_has_no_next_study() -> None:
    assert of(finding("IN1", PASSES), finding("IN2", LOOK)) == NextStudy((), ())
    assert next_study_of(Evidence((), evidence().objective, ()), [finding("IN8", LOOK, TrainSteps(9))]) == NextStudy(
        (), ()
    )


def advice(asked: Finding, **fixed: int | float | str | None) -> list[str]:
    """What only a person can do, beyond the playbook."""
    found = next_study_of(evidence(weight_decay=0.0, **fixed), [asked])
    return [sentence for sentence, _ in found.advice if sentence.startswith("Beyond the playbook: ")]


def test_beyond_the_playbook_a_change_of_weight_decay_asks_for_the_schedule_again():
    more = finding("IN6", LOOK, SearchOver("weight_decay", Float(1e-5, 1e-2, scale="log")))
    (sentence,) = advice(more, schedule="cosine")
    assert "after a change of it tune the schedule again" in sentence
    assert advice(finding("IN6", LOOK, Fix("weight_decay", 0.01)), schedule="linear") == [sentence]
    assert advice(more, schedule="constant") == advice(more) == []  # there is no schedule to tune
    assert advice(finding("IN6", LOOK, SearchOver("dropout", Float(0.0, 0.9))), schedule="cosine") == []
    tuned = dataclasses.replace(evidence(schedule="linear", weight_decay=0.0))
    space = {**SPACE, "decay_steps": Int(10, 200)}
    studies = tuple(study.model_copy(update={"space": space}) for study in tuned.studies)
    found = next_study_of(dataclasses.replace(tuned, studies=studies), [more])
    assert found.advice == ()


def test_beyond_the_playbook_a_schedule_free_optimizer_is_named_as_a_scientific_choice_only():
    hidden = finding("IN8", LOOK, advice="Train the best few points again for 400 steps.")
    (sentence,) = advice(hidden, schedule="cosine")
    assert "as a value of a scientific hyperparameter" in sentence and "not in its place" in sentence
    assert advice(hidden, schedule="constant") == []
    assert advice(finding("IN8", LOOK, TrainSteps(400)), schedule="cosine") == []
    assert advice(finding("IN8", PASSES, advice="Nothing."), schedule="cosine") == []
