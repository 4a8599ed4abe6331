"""The answer to a round's question: how often it is wrong where the truth is known, and its words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from raytune_playbook.analysis.answer.answer import Answer, Verdict, answer_of
from raytune_playbook.analysis.answer.resolution import smallest_told
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.settings import Objective
from tests.analysis.findings.generated import SPACE, Plan, bowl, generated

SEEDS = range(20_000, 20_200)
"""Others than those by which the thresholds were chosen."""
NORMS = ("device", "sync", "ghost")

Losses = Callable[[str, np.ndarray, np.random.Generator], np.ndarray]
"""Of an arm, from the squared distances of its points from the optimum; NaN for an infeasible trial."""


@cache
def points(num_arms: int, trials_per_arm: int, seed: int) -> tuple[Evidence, np.ndarray]:
    """A round without objectives, and how far its points are from the optimum."""
    plan = Plan(arms=[{"norm": name} for name in NORMS[:num_arms]], trials_per_arm=trials_per_arm)
    evidence = generated(plan, seed, lambda values, rng: 0.0)
    optimum = {"learning_rate": 0.05, "momentum": 0.9}
    return evidence, np.array([bowl(trial.values, optimum, SPACE) for trial in evidence.trials])


def judged(
    seed: int,
    losses: Losses,
    *,
    num_arms: int = 2,
    trials_per_arm: int = 12,
    noise_seed: int = 0,
    num_validation_examples: int | None = None,
) -> Evidence:
    """A round whose objectives follow from how far its points are from the optimum."""
    evidence, distances = points(num_arms, trials_per_arm, seed)
    rng = np.random.default_rng([seed, noise_seed])
    trials: list[Trial] = []
    for place, name in enumerate(NORMS[:num_arms]):
        own = slice(place * trials_per_arm, (place + 1) * trials_per_arm)
        for trial, loss in zip(evidence.trials[own], losses(name, distances[own], rng), strict=True):
            ended = Outcome.INFEASIBLE if np.isnan(loss) else Outcome.COMPLETED
            trials.append(replace(trial, outcome=ended, objective=None if np.isnan(loss) else float(loss)))
    examples = None
    if num_validation_examples is not None:
        counted = {"validation": num_validation_examples}
        examples = evidence.examples.model_copy(update={"num_examples": counted})
    return replace(evidence, trials=tuple(trials), examples=examples)


def bowls(noise: float, behind: float = 0.0) -> Losses:
    """The same bowl for all, the first arm better by a number."""

    def losses(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        worse = 0.0 if name == NORMS[0] else behind
        return 0.05 + 0.1 * distances + worse + noise * rng.normal(size=len(distances))

    return losses


def errors(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts of errors of 156 examples, a quarter of the trials infeasible: no arm is better."""
    counts = rng.binomial(156, np.clip(0.05 + 0.3 * distances, 0, 1))
    return np.where(rng.uniform(size=len(counts)) < 0.25, np.nan, counts / 156)


def answer(evidence: Evidence) -> Answer:
    return answer_of(evidence, (), ())


def share(answers: Sequence[Answer], verdict: Verdict) -> float:
    return float(np.mean([found.verdict is verdict for found in answers]))


@pytest.mark.parametrize(("num_arms", "noise"), [(2, 0.0003), (2, 0.1), (3, 0.01)])
def test_ad2_a_winner_is_named_among_equals_in_5_of_100_rounds_and_where_it_is_one_in_9_of_10(num_arms, noise):
    """Where there is no difference, and where there is one of the size that the answer itself states."""
    equal = {seed: answer(judged(seed, bowls(noise), num_arms=num_arms)) for seed in SEEDS}
    assert share(list(equal.values()), Verdict.BETTER) <= 0.05
    assert share(list(equal.values()), Verdict.NO_DIFFERENCE) >= 0.95
    stated = {seed: found.detectable for seed, found in equal.items() if found.verdict is Verdict.NO_DIFFERENCE}
    other = [answer(judged(seed, bowls(noise, size), num_arms=num_arms, noise_seed=1)) for seed, size in stated.items()]
    assert share(other, Verdict.BETTER) >= 0.9
    assert all(found.arms[0].is_leading for found in other if found.verdict is Verdict.BETTER)


def test_ad2_a_few_validation_examples_are_no_difference_where_a_quarter_diverged():
    """Six trials of each value, 156 examples: the best differ by one or a few of them."""
    for seed in SEEDS:
        evidence = judged(seed, errors, trials_per_arm=6, num_validation_examples=156)
        found = answer(evidence)
        assert found.verdict is not Verdict.BETTER
        assert found.resolution is None or found.resolution == 1 / 156


@pytest.mark.parametrize(("behind", "verdict"), [(1, Verdict.NO_DIFFERENCE), (40, Verdict.BETTER)])
def test_ad2_one_example_is_chance_even_where_every_point_agrees(behind, verdict):
    """A value that is better at each of its points by one example is so on these examples, and perhaps on no others."""

    def losses(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (8 + np.round(40 * distances) + (behind if name == "sync" else 0)) / 156

    found = answer(judged(0, losses, num_validation_examples=156))
    assert found.verdict is verdict
    assert found.arms[0].probability_best > 0.98
    if verdict is Verdict.NO_DIFFERENCE:
        ahead = " device is ahead in 99% of random halves of the points, but by 1 of 156 validation examples, which "
        assert f"{ahead}could be chance." in found.sentence
        assert found.detectable >= smallest_told(found.arms[0].arm.best.objective, 156, is_error=True)
    assert f"differ by {behind / 156:.2g}, {behind} of 156 examples." in found.reasons[0]


def test_ad2_a_value_that_is_ahead_often_and_not_better_says_why():
    """Here luck with the points may explain it; who is ahead seldom needs no reason."""
    answers = [answer(judged(seed, bowls(0.003, 0.002))) for seed in SEEDS]
    tied = [found for found in answers if found.verdict is Verdict.NO_DIFFERENCE]
    often = [found for found in tied if max(arm.probability_best for arm in found.arms) >= 0.9]
    assert 0 < len(often) < len(tied)
    luck = " of random halves of the points, but luck alone reaches that too often; from 98.5% on it would count."
    assert all((luck in found.sentence) == (found in often) for found in tied)


def test_sd8_values_that_tie_have_no_winner():
    def tied(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (5 + np.round(100 * (distances - distances.min()))) / 352

    found = answer(judged(0, tied, num_arms=3, num_validation_examples=352))
    assert found.verdict is Verdict.NO_DIFFERENCE
    assert found.sentence.startswith("No difference shown: device, sync and ghost tie at a validation error of 0.0142.")
    assert [arm.is_leading for arm in found.arms] == [True] * 3
    assert [arm.probability_best for arm in found.arms] == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert (found.difference, found.probability, found.resolution) == (0, None, 1 / 352)
    assert found.reasons[0] == "The best trials of device and sync are equal."


@pytest.mark.parametrize("num_validation_examples", [156, None])
def test_sd8_a_value_that_reaches_the_best_more_often_has_not_a_better_one(num_validation_examples):
    """Of 81 trials without an error 80 are of one value: it has the best in 80 of 81 draws, but no better one."""

    def losses(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.where((name == "device") | (np.arange(len(distances)) == 0), 0.0, 1.0)

    evidence = judged(0, losses, trials_per_arm=80, num_validation_examples=num_validation_examples)
    found = answer(evidence)
    assert found.verdict is Verdict.NO_DIFFERENCE
    assert [arm.is_leading for arm in found.arms] == [True, True]
    assert found.arms[0].probability_best == pytest.approx(80 / 81)


def test_sd8_a_better_value_is_named_with_its_probability():
    found = answer(judged(1, bowls(0.001, 0.05), num_arms=3))
    assert found.verdict is Verdict.BETTER
    assert found.sentence.startswith("norm=device is better: its best validation error is 0.05")
    assert found.sentence.endswith("It is so with a probability of 99%.")
    assert [arm.is_leading for arm in found.arms] == [True, False, False]
    assert found.difference == pytest.approx(0.05, abs=0.005)


def test_ad2_what_better_means_is_said_and_whether_more_of_the_space_is_good_or_the_best_point_better():
    """A bowl that is five times as steep has the same optimum; one that is deeper has not."""

    def steeper(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return 0.05 + (0.1 if name == "device" else 0.5) * distances

    means = "Better is meant after as much tuning as here, over these ranges; after more of it others may catch up."
    wider = answer(judged(0, steeper))
    deeper = answer(judged(1, bowls(0.001, 0.05)))
    assert (wider.verdict, deeper.verdict) == (Verdict.BETTER, Verdict.BETTER)
    assert means in wider.reasons
    assert means in deeper.reasons
    more = "More of the search space is good with device, rather than its best point better: half of the "
    assert [reason.startswith(more) for reason in wider.reasons].count(True) == 1
    assert not any("More of the search space" in reason for reason in deeper.reasons)
    assert not any("Better is meant" in reason for reason in answer(judged(0, bowls(0.01))).reasons)


def test_sd8_of_values_that_do_not_lead_those_that_are_worse_are_told():
    def losses(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return 0.05 + 0.1 * distances + (0.3 if name == "ghost" else 0) + 0.001 * rng.normal(size=len(distances))

    answers = [answer(judged(seed, losses, num_arms=3)) for seed in range(50)]
    tied = [found for found in answers if found.verdict is Verdict.NO_DIFFERENCE]
    assert len(tied) >= 45
    assert all([arm.is_leading for arm in found.arms] == [True, True, False] for found in tied)
    assert all("of device and sync is" in found.sentence and "ghost is worse." in found.sentence for found in tied)


@pytest.mark.parametrize("behind", [0.0, 0.05])
def test_sd8_a_goal_to_maximize_is_answered_alike(behind):
    evidence = judged(1, bowls(0.001, behind))
    goal = Objective(metric="accuracy", goal="maximize")
    trials = tuple(replace(trial, objective=1 - trial.objective) for trial in evidence.trials)
    turned = answer(replace(evidence, objective=goal, trials=trials))
    one = answer(evidence)
    assert (turned.verdict, turned.probability) == (one.verdict, one.probability)
    assert turned.difference == pytest.approx(one.difference)
    assert turned.detectable == pytest.approx(one.detectable)
    assert (one.detectable is None) == (one.verdict is Verdict.BETTER)
    low, high = one.arms[0].interval
    assert turned.arms[0].interval == pytest.approx((1 - high, 1 - low))


def test_in3_infeasible_trials_count_as_the_worst_and_crashed_ones_not_at_all():
    def losses(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        found = 0.05 + 0.1 * distances
        return np.full(len(found), np.nan) if name == "sync" else found

    found = answer(judged(0, losses))
    assert found.verdict is Verdict.BETTER
    assert found.sentence.endswith("and no trial of the other values was completed.")
    assert [(arm.behind, arm.is_leading) for arm in found.arms] == [(0, True), (None, False)]
    nothing = answer(judged(0, lambda name, distances, rng: np.full(len(distances), np.nan)))
    assert (nothing.verdict, nothing.sentence) == (
        Verdict.CANNOT_TELL,
        "No trial was completed, so there is no answer.",
    )


def test_in3_an_infeasible_trial_makes_another_searchs_luck_less_certain_and_a_crash_does_not():
    def losses(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.where(np.arange(len(distances)) % 2, np.nan, 0.05 + 0.1 * distances)

    infeasible = judged(0, losses, num_arms=1, trials_per_arm=24)
    crashed = replace(
        infeasible,
        trials=tuple(
            replace(trial, outcome=Outcome.FAILED) if trial.outcome is Outcome.INFEASIBLE else trial
            for trial in infeasible.trials
        ),
    )
    (_, wide), (_, narrow) = (answer(evidence).arms[0].interval for evidence in (infeasible, crashed))
    assert wide > narrow


@pytest.mark.parametrize(("num_ahead", "is_leading"), [(7, True), (8, False)])
def test_ad2_each_of_several_values_has_its_own_chance_to_look_worse_by_luck(num_ahead, is_leading):
    """A lead at 7 points is a chance of 127 in 128: enough against one other value, not against two."""

    def losses(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        places = np.arange(len(distances))
        if name == "ghost":
            return np.where(places < num_ahead, 60.0, 20.0) + places
        takes_turns = (places % 2 == 0) == (name == "device")
        return np.where(places < num_ahead, 0.0, 50.0) + places + np.where(takes_turns, 0.0, 0.5)

    found = answer(judged(0, losses, num_arms=3))
    assert [arm.is_leading for arm in found.arms] == [True, True, is_leading]


def test_sd8_trials_at_the_same_values_are_points_of_their_own():
    evidence = judged(1, bowls(0.001, 0.05))
    same = {name: evidence.trials[0].values[name] for name in SPACE}
    trials = tuple(replace(trial, values={**trial.values, **same}) for trial in evidence.trials)
    assert answer(replace(evidence, trials=trials)).verdict is Verdict.BETTER


def test_ad2_no_share_of_examples_is_expected_to_exceed_1():
    evidence = judged(
        0, lambda name, distances, rng: 1 - np.round(60 * distances) / 156, num_arms=1, num_validation_examples=156
    )
    found = answer(replace(evidence, objective=Objective(metric="accuracy", goal="maximize")))
    assert found.arms[0].interval[1] == 1


@pytest.mark.parametrize("trials_per_arm", [1, 3, 6])
def test_ad2_too_few_trials_cannot_tell(trials_per_arm):
    found = answer(judged(0, bowls(0.001, 0.5), trials_per_arm=trials_per_arm))
    assert found.verdict is Verdict.CANNOT_TELL
    done = "1 trial was" if trials_per_arm == 1 else f"{trials_per_arm} trials were"
    assert f"only {done} completed with it, and fewer than 7 may be luck" in found.sentence
    assert found.detectable is None


def test_ad2_of_too_few_trials_those_that_tie_are_not_ahead():
    def tied(name: str, distances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.round(100 * (distances - distances.min())) / 18

    found = answer(judged(0, tied, num_arms=2, trials_per_arm=2, num_validation_examples=18))
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.sentence == (
        "Cannot tell yet: device and sync tie at a validation error of 0, but only 2 trials were completed with "
        "device, and fewer than 7 may be luck."
    )


def test_sd6_many_values_with_a_trial_or_a_few_each():
    for num_arms, trials_per_arm, verdict in ((16, 10, Verdict.NO_DIFFERENCE), (200, 1, Verdict.CANNOT_TELL)):
        plan = Plan(arms=[{"width": width} for width in range(num_arms)], trials_per_arm=trials_per_arm)
        found = answer(generated(plan, 0, lambda values, rng: 0.3 + 0.01 * rng.normal()))
        assert found.verdict is verdict
        assert sum(arm.probability_best for arm in found.arms) <= 1 + 1e-9
        assert len(found.sentence) < 250


def test_in18_a_problem_withholds_the_answer_or_qualifies_it():
    evidence = judged(1, bowls(0.001, 0.05))
    closed = Finding("IN1", "Is it large?", Status.PASSES, "It is.")
    problem = Finding("IN6", "Is it overfitting?", Status.PROBLEM, "The best trials of sync overfit.")
    withholds = replace(problem, rule="IN1", sentence="The best of sync lie at the end.", withholds=True)
    look = Finding("IN8", "Still improving?", Status.LOOK, "The best trial was still improving.")
    qualified = answer_of(evidence, (closed, look, problem), ("depth = 20",))
    assert qualified.verdict is Verdict.BETTER
    assert qualified.open_findings == (problem, look)
    assert qualified.reasons[-1] == "One open problem may still change this."
    assert qualified.caveats == ("depth = 20",)
    assert str(qualified).splitlines() == [qualified.sentence, *qualified.reasons]
    assert str(look) == f"{look.rule}, look: {look.sentence}"
    assert answer_of(evidence, (replace(look, withholds=True),), ()).verdict is Verdict.BETTER
    withheld = answer_of(evidence, (look, problem, withholds, withholds), ())
    assert withheld.open_findings == (withholds, withholds, problem, look)
    assert withheld.verdict is Verdict.CANNOT_TELL
    assert withheld.probability is None
    assert withheld.sentence == (
        "Cannot tell yet. First: The best of sync lie at the end. One more problem has to be closed, too."
    )


def test_ad1_retrain_variance_takes_back_a_difference_that_is_smaller():
    evidence = judged(1, bowls(0.001, 0.05))
    assert "How much a point varies when it is trained again is not known." in answer(evidence).reasons
    best = [arm.best for arm in evidence.arms]

    def repeated(deviation: float) -> Answer:
        spread = (-1.0, 0.0, 1.0)
        runs = [
            replace(trial, repeat=place, objective=trial.objective + deviation * z)
            for trial in best
            for place, z in enumerate(spread, start=1)
        ]
        return answer(replace(evidence, trials=(*evidence.trials, *runs)))

    def all_repeated_at(objective: float) -> Answer:
        runs = [replace(trial, repeat=place, objective=objective) for trial in best for place in (1, 2)]
        return answer(replace(evidence, trials=(*evidence.trials, *runs)))

    # Both points come to the same, whenever they are trained again.
    assert all_repeated_at(0.07).verdict is Verdict.NO_DIFFERENCE
    assert repeated(0.001).verdict is Verdict.BETTER
    assert repeated(0.1).verdict is Verdict.NO_DIFFERENCE
    assert "but trained again with other seeds the best points may change places." in repeated(0.1).sentence
    assert repeated(0.1).detectable == pytest.approx(2 * 0.1 * (2 / 3) ** 0.5)
    assert repeated(0.1).reasons[-1] == "Trained again with other seeds, a point varies by ±0.1 (6 repeats)."


def test_in13_one_study_has_a_best_trial_and_what_another_search_would_find():
    found = answer(judged(0, bowls(0.01), num_arms=1))
    assert found.verdict is Verdict.NOTHING_TO_COMPARE
    assert found.sentence.startswith("The best of 12 trials is norm=device/")
    assert "in 8 of 10 cases" in found.sentence
    low, high = answer(judged(0, bowls(0.0001), num_arms=1)).arms[0].interval
    assert 0 < low < 0.05 < high
    near_zero = answer(judged(0, lambda name, distances, rng: 0.1 * distances, num_arms=1))
    assert near_zero.arms[0].interval[0] == 0  # nothing negative was seen
    assert (found.difference, found.detectable, found.arms[0].probability_best) == (None, None, None)


def test_ad2_a_round_that_runs_is_answered_so_far():
    evidence = replace(judged(1, bowls(0.001, 0.05)), is_finished=False)
    assert answer(evidence).sentence.startswith("So far: norm=device is better")
    few = replace(judged(0, bowls(0.001, 0.5), trials_per_arm=3), is_finished=False)
    assert answer(few).sentence.startswith("So far: cannot tell yet: norm=device is ahead")


def test_sd8_a_metric_that_is_constant_or_not_finite_is_no_winner():
    same = answer(judged(0, lambda name, distances, rng: np.full(len(distances), 0.5), num_arms=3))
    assert same.verdict is Verdict.NO_DIFFERENCE
    evidence = judged(0, bowls(0.01))
    odd = tuple(replace(trial, objective=float("nan")) if trial.index % 2 else trial for trial in evidence.trials)
    found = answer(replace(evidence, trials=odd))
    assert found.verdict is Verdict.CANNOT_TELL
    assert [len(arm.arm.ranked) for arm in found.arms] == [6, 6]
