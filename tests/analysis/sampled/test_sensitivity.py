"""How much worse a learning rate twice or half as large is, beside the truth of generated rounds."""

from __future__ import annotations

import math

import pytest

from raytune_playbook.analysis.answer.answer import answer_of
from raytune_playbook.analysis.sampled.sensitivity import Sensitivity, sensitivity, sensitivity_text
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from raytune_playbook.study.settings import Objective
from tests.analysis.findings.generated import Plan, Values, generated

RATE = {"learning_rate": Float(1e-3, 1.0, scale="log")}
BOTH = {**RATE, "momentum": Float(0.5, 0.99, scale="log_one_minus")}


MAXIMIZED = Objective(metric="score", goal="maximize")


def doublings(values: Values) -> float:
    """From the best rate, 0.03."""
    return math.log2(float(str(values["learning_rate"])) / 0.03)


def truth(values: Values) -> float:
    return 0.05 + 0.004 * (doublings(values) - 0.5) ** 2


def found(plan: Plan, seed: int = 0, noise: float = 0.0, sign: float = 1.0) -> Sensitivity | None:
    evidence = generated(plan, seed, lambda values, rng: sign * (truth(values) + rng.normal(0, noise)))
    return sensitivity(evidence, evidence.arms[0])


@pytest.mark.parametrize(("objective", "sign"), [(Objective(), 1.0), (MAXIMIZED, -1.0)])
def test_without_noise_it_is_the_difference_of_the_formula(objective, sign):
    known = found(Plan(space=RATE, trials_per_arm=24, objective=objective), sign=sign)
    assert [shift.factor for shift in known.shifts] == [0.5, 2.0]
    for shift in known.shifts:
        at = {"learning_rate": known.best}
        exact = truth({"learning_rate": shift.factor * known.best}) - truth(at)
        assert (shift.worse, shift.low, shift.high) == pytest.approx((exact,) * 3, abs=1e-9)


def test_the_interval_holds_the_truth_in_eight_of_ten_cases():
    plan, held, num = Plan(space=BOTH, trials_per_arm=24), 0, 0
    for seed in range(300):
        if (known := found(plan, seed, noise=0.004)) is None:
            continue
        for shift in known.shifts:
            exact = truth({"learning_rate": shift.factor * known.best}) - truth({"learning_rate": known.best})
            held += shift.low <= exact <= shift.high
            num += 1
    assert num > 500
    assert held / num == pytest.approx(0.8, abs=0.06)


def test_only_points_near_the_best_rate_count():
    evidence = generated(Plan(space=RATE, trials_per_arm=60), 0, lambda values, rng: truth(values))
    far = generated(Plan(space=RATE, trials_per_arm=60), 0, lambda v, rng: truth(v) if abs(doublings(v)) < 4 else 0.9)
    assert sensitivity(far, far.arms[0]).shifts == sensitivity(evidence, evidence.arms[0]).shifts


@pytest.mark.parametrize(
    "plan",
    [
        Plan(space=RATE, trials_per_arm=4),
        Plan(space={"momentum": BOTH["momentum"]}, trials_per_arm=24, fixed={"learning_rate": 0.03}),
        Plan(space={"learning_rate": Float(1e-3, 1.0)}, trials_per_arm=24),
    ],
    ids=["few points", "not searched", "linear scale"],
)
def test_where_points_do_not_tell_nothing_is_said(plan):
    assert found(plan) is None


def test_where_the_bowl_goes_below_zero_nothing_is_said():
    """A cliff above the best rate bends it so much that at half of the best an error would be negative."""

    def cliff(values: Values, lowest: float) -> float:
        return lowest + (0.01 * abs(doublings(values)) if doublings(values) <= 0 else 2.0)

    silent = 0
    for seed in range(40):
        low = generated(Plan(space=BOTH, trials_per_arm=24), seed, lambda values, rng: cliff(values, 0.07))
        high = generated(Plan(space=BOTH, trials_per_arm=24), seed, lambda values, rng: cliff(values, 70.0))
        known, known_high = sensitivity(low, low.arms[0]), sensitivity(high, high.arms[0])
        best = low.arms[0].best.objective
        assert known is None or all(best + shift.worse >= 0 for shift in known.shifts)
        silent += known is None and known_high is not None
    assert silent >= 5


def test_what_lies_outside_of_the_range_is_not_told_and_infeasible_trials_above_are():
    narrow = {"learning_rate": Float(0.02, 0.035, scale="log")}
    known = found(Plan(space=narrow, trials_per_arm=24))
    assert known is None  # neither half nor twice of any rate lies within
    evidence = generated(
        Plan(space=RATE, trials_per_arm=40, arms=({"optimizer": "adam"},)),
        0,
        lambda values, rng: "diverged: too large" if doublings(values) > 1 else truth(values),
    )
    known = sensitivity(evidence, evidence.arms[0])
    assert 0 < known.infeasible_above <= known.num_above
    text = sensitivity_text(evidence, known)
    assert text.startswith(
        f"Beyond the playbook: around the best learning_rate of optimizer=adam, {known.best:.4g}, the "
    )
    assert f"up to twice as large {known.infeasible_above} w" in text


def test_the_answer_has_it_after_what_the_playbook_asks_for_and_the_verdict_is_the_same():
    plan = Plan(space=RATE, trials_per_arm=24, arms=({"kind": "a"}, {"kind": "b"}))
    evidence = generated(plan, 0, lambda values, rng: truth(values) + (0.01 if values["kind"] == "b" else 0.0))
    answer = answer_of(evidence, [], [])
    (sentence,) = answer.beyond
    assert sentence.startswith("Beyond the playbook: around the best learning_rate of kind=a, ")
    assert str(answer).splitlines()[-1] == sentence
    assert sentence not in (answer.sentence, *answer.reasons)
    text = sensitivity_text(
        evidence := generated(Plan(space=RATE, trials_per_arm=24, objective=MAXIMIZED), 0, lambda v, rng: -truth(v)),
        sensitivity(evidence, evidence.arms[0]),
    )
    known = sensitivity(evidence, evidence.arms[0])
    assert known.shifts[0].worse > 0
    assert f"the validation score changes by -{known.shifts[0].worse:.2g} at half of it (-" in text
