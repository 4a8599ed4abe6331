"""What every detector keeps, whatever the records hold: it answers its one question, and never raises."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings import DETECTORS
from raytune_playbook.analysis.findings.changes import Fix, NumTrials, SearchOver, TrainSteps
from raytune_playbook.analysis.findings.comparison.gradient_accumulation import gradient_accumulation
from raytune_playbook.analysis.findings.comparison.rare_classes import rare_classes
from raytune_playbook.analysis.findings.comparison.rules_of_thumb import rules_of_thumb
from raytune_playbook.analysis.findings.curves.clipping import clipping
from raytune_playbook.analysis.findings.curves.ends import training_ends
from raytune_playbook.analysis.findings.curves.instability import instability
from raytune_playbook.analysis.findings.curves.late_variance import late_variance
from raytune_playbook.analysis.findings.curves.overfitting import overfitting
from raytune_playbook.analysis.findings.curves.periodicity import periodicity
from raytune_playbook.analysis.findings.curves.rising_loss import rising_loss
from raytune_playbook.analysis.findings.curves.waiting import waiting
from raytune_playbook.analysis.findings.curves.warmup import warmup
from raytune_playbook.analysis.findings.finding import Detector, Finding, Status
from raytune_playbook.analysis.plots.importance import importances
from raytune_playbook.analysis.plots.tuning_curve import tuning_curves
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves, digest_of
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import (
    Categorical,
    Discrete,
    Float,
    Hyperparameter,
    Int,
    finite_values,
)
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import WorkloadSpec
from tests.analysis.findings.generated import SPACE, Plan, Values, bowl, generated

OPTIMUM: Values = {"learning_rate": 0.03, "momentum": 0.9}
PRONOUN = re.compile(r"(It|They|This|That|These|Those)\b|Nothing:|All \S+ have\.")
RULE_ID = re.compile(r"\b(IN|SD|UN|BA|EV|LN|AD|CK|QR|ST|TR|BN|PI|SC|MH)\d+\b")

KINDS: dict[str, Hyperparameter] = {
    "learning_rate": Float(1e-4, 1.0),
    "dropout": Float(0.0, 0.9),
    "depth": Int(1, 4),
    "width": Int(16, 1024, scale="log"),
    "batches": Discrete([16, 32, 64]),
    "pair": Discrete([1, 2]),
    "only": Discrete([3]),
    "activation": Categorical(["relu", "tanh", "gelu"]),
    "flag": Categorical([True, False]),
    "beta1": Float(0.5, 0.999, scale="log_one_minus"),
    "adam.epsilon": Float(1e-9, 1e-3, scale="log", when={"optimizer": "adam"}),
}


def shaped(values: Values, rng: np.random.Generator) -> float:
    optimum = {name: best for name, best in OPTIMUM.items() if name in values}
    return 0.1 + bowl(values, optimum, SPACE) + 0.02 * float(rng.normal())


def plain(seed: int, **plan: object) -> Evidence:
    return generated(dataclasses.replace(Plan(), **plan), seed, shaped, curves)


def curves(values: Values, reached: float, rng: np.random.Generator) -> dict[Evaluation, Curve]:
    steps = np.arange(50, 1001, 50)
    falling = reached + 0.5 * np.exp(-steps / 200) + 0.002 * rng.normal(size=len(steps))
    metrics = {Evaluation(split, "error"): Curve(steps, falling) for split in ("train", "validation")}
    return metrics | {Evaluation("train", "loss"): Curve(steps, 3 * falling)}


def of_kinds(seed: int, arms: tuple[Values, ...] = ({"optimizer": "adam"}, {"optimizer": "sgd"})) -> Evidence:
    plan = Plan(arms=arms, space=KINDS, trials_per_arm=14)
    return generated(plan, seed, lambda values, rng: float(rng.normal(0.3, 0.1)))


def joint(seed: int, num_trials: int = 24) -> Evidence:
    evidence = of_kinds(seed, ({"optimizer": "adam"},))
    arms = tuple({"optimizer": name} for name in ("adam", "sgd", "momentum"))
    study = evidence.studies[0].model_copy(update={"arm": {}, "arms": arms, "num_trials": num_trials})
    trials = [
        dataclasses.replace(
            trial,
            study=study.name,
            values={**trial.values, **arms[trial.index % 3], "adam.epsilon": 1e-8 if trial.index % 3 == 0 else None},
        )
        for trial in evidence.trials
    ]
    return dataclasses.replace(evidence, studies=(study,), trials=tuple(trials))


def changed(evidence: Evidence, objective: Callable[[int], float | None]) -> Evidence:
    """With other objectives, by the place of a trial; None for an infeasible one."""
    trials = [
        dataclasses.replace(trial, objective=value, outcome=Outcome.COMPLETED if value is not None else outcome)
        for place, trial in enumerate(evidence.trials)
        for value, outcome in [(objective(place), Outcome.INFEASIBLE)]
    ]
    return dataclasses.replace(evidence, trials=tuple(trials))


def ended_as(evidence: Evidence, outcome: Outcome | None, reason: str | None) -> Evidence:
    trials = [
        dataclasses.replace(trial, outcome=outcome, reason=reason, objective=None, best_step=None)
        for trial in evidence.trials
    ]
    return dataclasses.replace(evidence, trials=tuple(trials))


def with_broken_curves(evidence: Evidence) -> Evidence:
    """Curves of NaN, of one point, of none at all, and of a metric that is all infinite."""
    broken = [np.full(20, np.nan), np.array([0.3]), np.array([]), np.full(20, np.inf), np.full(20, 0.25)]
    found = {}
    for place, trial in enumerate(evidence.trials):
        values = broken[place % len(broken)]
        curve = Curve(np.arange(1, len(values) + 1) * 50, values)
        evaluations = {Evaluation(split, "error"): curve for split in ("train", "validation")}
        steps = {"loss": curve, "gradient_norm": curve}
        digests = {name: digest_of(curve.steps, values) for name in steps}
        found[trial.id] = TrialCurves(trial.id, evaluations, steps, digests)
    return dataclasses.replace(evidence, curves=found)


def foreign(evidence: Evidence) -> Evidence:
    """As from another tool's table: texts for numbers, values beyond the ranges, some missing, steps unknown."""
    odd: list[Value] = ["32", None, 1e9, -1.0, "text", True]
    trials = [
        dataclasses.replace(
            trial,
            values={name: odd[(place + at) % len(odd)] for at, name in enumerate(trial.values)},
            best_step=None,
            training=None,
        )
        for place, trial in enumerate(evidence.trials)
    ]
    return dataclasses.replace(evidence, trials=tuple(trials), examples=None, roles={})


ROUNDS: dict[str, Callable[[], Evidence]] = {
    "no studies": lambda: Evidence((), Objective(), ()),
    "no trials": lambda: dataclasses.replace(plain(0), trials=(), curves={}),
    "one trial": lambda: plain(0, trials_per_arm=1),
    "two trials": lambda: plain(0, trials_per_arm=2),
    "some trials": lambda: plain(0, trials_per_arm=5),
    "many trials": lambda: plain(0, trials_per_arm=100),
    "repeats": lambda: plain(0, num_repeats=4),
    "nothing tuned": lambda: plain(0, space={}, trials_per_arm=1),
    "scientific numbers": lambda: plain(0, arms=[{"depth": depth} for depth in (1, 2, 4, 8)], fixed={}),
    "large values are good": lambda: plain(0, objective=Objective(metric="accuracy", goal="maximize")),
    "constant": lambda: changed(plain(0), lambda place: 0.25),
    "constant but one": lambda: changed(plain(0), lambda place: 0.25 if place else 0.2),
    "NaN": lambda: changed(plain(0), lambda place: math.nan if place % 2 else 0.1 * place),
    "all NaN": lambda: changed(plain(0), lambda place: math.nan),
    "infinite": lambda: changed(plain(0), lambda place: (math.inf, -math.inf, 0.3)[place % 3]),
    "half infeasible": lambda: changed(plain(0), lambda place: None if place % 2 else 0.01 * place),
    "all infeasible": lambda: ended_as(plain(0), Outcome.INFEASIBLE, "diverged: training loss"),
    "infeasible without a reason": lambda: ended_as(plain(0), Outcome.INFEASIBLE, None),
    "all crashed": lambda: ended_as(plain(0), Outcome.FAILED, None),
    "all running": lambda: dataclasses.replace(ended_as(plain(0), None, None), is_finished=False),
    "no curves": lambda: dataclasses.replace(plain(0), curves={}),
    "broken curves": lambda: with_broken_curves(plain(0)),
    "every kind": lambda: of_kinds(0),
    "joint": lambda: joint(0),
    "foreign": lambda: foreign(of_kinds(0)),
    "foreign joint": lambda: foreign(joint(1)),
}

NOBODYS = WorkloadSpec(module="", name="csv", settings={}, source_hash="")


@pytest.fixture(scope="module", params=sorted(ROUNDS))
def evidence(request: pytest.FixtureRequest) -> Evidence:
    return ROUNDS[request.param]()


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.__name__)
def test_it_answers_its_question(detector: Detector, evidence: Evidence) -> None:
    findings = detector(evidence)
    assert len({finding.question for finding in findings}) == 1
    for finding in findings:
        check(finding, evidence)
    # Nothing comes from chance or from the clock.
    assert list(detector(evidence)) == list(findings)


def test_plots_are_drawn_of_anything(evidence: Evidence) -> None:
    """Tuning curves and importances have the shapes and ranges that they promise."""
    for curve in tuning_curves(evidence):
        assert len(curve.num_trials) == len(curve.median) == len(curve.band_low) == len(curve.band_high)
        assert not np.isnan(curve.median).any()
        assert (curve.band_low <= curve.band_high).all()
    for importance in importances(evidence):
        shares = [*importance.shares.values(), *(interaction.share for interaction in importance.interactions)]
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) <= 1 + 1e-9
        assert 0 <= importance.p_value <= 1


CURVES = (
    instability,
    clipping,
    warmup,
    overfitting,
    late_variance,
    training_ends,
    rising_loss,
    periodicity,
    waiting,
    gradient_accumulation,
    rules_of_thumb,
    rare_classes,
)


@pytest.mark.parametrize("detector", CURVES, ids=lambda detector: detector.__name__)
def test_what_another_tool_has_not_recorded_nobody_can_tell(detector: Detector) -> None:
    """Trials with their values and one objective each."""
    (found,) = detector(without_curves(plain(0)))
    assert found.status is Status.CANNOT_TELL
    assert re.search(r"not recorded|not checked", found.sentence), found.sentence
    assert found.proposal is None


@pytest.mark.parametrize("detector", [overfitting, training_ends, rising_loss, instability])
def test_validation_alone_does_not_tell_of_training(detector: Detector) -> None:
    """Neither that a trial overfits nor that it is saturated, stable, or that its loss does not rise."""
    for worse in (0.0, 0.5):
        evidence = without_curves(plain(0))
        steps = np.arange(50, 1001, 25)
        error = 0.1 + 0.5 * np.exp(-steps / 10) + worse * np.clip(steps / 1000 - 0.5, 0, 1)
        only = {Evaluation("validation", "error"): Curve(steps, error)}
        known = {trial.id: TrialCurves(trial.id, only, {}) for trial in evidence.trials}
        (found,) = detector(dataclasses.replace(evidence, curves=known))
        if detector is overfitting and not worse:
            assert found.status is Status.PASSES  # what does not get worse on validation is no overfitting
        elif detector is training_ends and worse:
            continue
        else:
            assert found.status is Status.CANNOT_TELL
            assert "not recorded" in found.sentence


def test_instability_that_ended_trials_says_nothing_of_the_best_without_their_losses() -> None:
    evidence = without_curves(plain(0))
    worst = {trial.id for trial in evidence.ranked[-6:]}
    trials = [
        dataclasses.replace(trial, outcome=Outcome.INFEASIBLE, reason="diverged: loss", objective=None)
        if trial.id in worst
        else trial
        for trial in evidence.trials
    ]
    (found,) = instability(dataclasses.replace(evidence, trials=tuple(trials)))
    assert found.status is Status.CANNOT_TELL
    assert found.numbers["num_ended"] == 6


def without_curves(evidence: Evidence) -> Evidence:
    """As another tool's trials are that were measured once."""
    studies = [study.model_copy(update={"workload": NOBODYS, "max_train_steps": 1}) for study in evidence.studies]
    trials = [dataclasses.replace(trial, best_step=None, training=None) for trial in evidence.trials]
    return dataclasses.replace(evidence, studies=tuple(studies), trials=tuple(trials), curves={}, examples=None)


def check(finding: Finding, evidence: Evidence) -> None:
    """What a finding keeps."""
    assert RULE_ID.fullmatch(finding.rule)
    texts = [finding.question, finding.sentence, finding.proposal.sentence if finding.proposal else ""]
    for text in texts:
        assert not RULE_ID.search(text)
        assert not re.search(r"\bnan\b|\binf\b|np\.|array\(|None\b(?! of)", text), text
    assert finding.question.endswith("?")
    # A sentence stands alone in the terminal and in a job's header, without its question.
    assert not PRONOUN.match(finding.sentence), finding.sentence
    assert finding.sentence.endswith((".", "!", "?"))
    json.dumps(dict(finding.numbers), allow_nan=False)
    assert {trial.id for trial in evidence.trials} >= set(finding.trials)
    assert {study.name for study in evidence.studies} >= set(finding.studies)
    assert finding.status is Status.PROBLEM or not finding.withholds
    if finding.proposal is not None:
        assert finding.proposal.sentence.endswith(".")
        for change in finding.proposal.changes:
            check_change(change, evidence)


def check_change(change: object, evidence: Evidence) -> None:
    """Whether a change can be applied to the round."""
    spaces = {name: found for study in evidence.studies for name, found in study.space.items()}
    match change:
        case SearchOver(name, hyperparameter):
            assert hyperparameter.num_values is None or hyperparameter.num_values >= 1
            for unit in (0.0, 0.5, 1.0):
                value = hyperparameter.from_unit(unit)
                assert not isinstance(value, float) or math.isfinite(value)
            if name in spaces:
                assert hyperparameter != spaces[name]
                assert hyperparameter.when == spaces[name].when
        case Fix(name, value):
            assert name in spaces
            choices = finite_values(spaces[name])
            assert choices is None or value in choices
            assert choices is not None or spaces[name].to_unit(value) is not None
        case NumTrials(per_study):
            assert per_study > 0
        case TrainSteps(max_train_steps):
            assert max_train_steps > 0
