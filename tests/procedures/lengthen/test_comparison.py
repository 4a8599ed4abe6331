"""What a short round concluded against a long one, on generated points (rules LN5 and LN6)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.procedures.lengthen.branch_rounds import Branched
from raytune_playbook.procedures.lengthen.branches import Branch, BranchEnd
from raytune_playbook.procedures.lengthen.comparison import (
    CarriesOver,
    Compared,
    carries_over,
    compare,
    rank_correlation,
)
from raytune_playbook.procedures.lengthen.points import Point
from raytune_playbook.procedures.lengthen.record import Lengthened, completed_record
from raytune_playbook.procedures.lengthen.words import Lengths, correlation_text, growth_text, moved_text, verdict_text
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.study.settings import Objective

LENGTHS = Lengths(200, 2000, Objective(metric="error"))


def point(arm: str | None, number: int, short: float, long: float, rate: float = 0.1) -> Compared:
    values = {"learning_rate": rate, **({} if arm is None else {"norm": arm})}
    return Compared(f"{arm or 'all'}/{number:05d}", {} if arm is None else {"norm": arm}, values, short, long)


def test_ln6_the_rank_correlation_is_spearmans_ties_included():
    rng = np.random.default_rng(1)
    for num in (4, 9, 30):
        short, long = rng.integers(0, 6, (2, num)).astype(float)
        found = rank_correlation(list(short), list(long))
        assert found is not None
        assert found.value == pytest.approx(spearmanr(short, long).statistic)
        assert -1 <= found.low <= found.value <= found.high <= 1
    assert rank_correlation([1, 2, 3], [1, 2, 3]) is None
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) is None
    infeasible = rank_correlation([1, 2, 3, 4], [1, 2, math.inf, math.inf])
    assert infeasible is not None
    assert infeasible.value == pytest.approx(spearmanr([1, 2, 3, 4], [1, 2, 9, 9]).statistic)
    perfect = rank_correlation([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])
    assert perfect is not None
    assert 0.3 < perfect.low < 0.9  # six points that agree are no proof


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("num", [8, 20])
def test_ln6_the_interval_of_the_rank_correlation_holds_the_true_one_in_95_of_100_draws(correlation, num):
    rng, held = np.random.default_rng(2), 0
    true = 6 / math.pi * math.asin(correlation / 2)  # of ranks, for a normal distribution
    for _ in range(1000):
        short = rng.normal(size=num)
        long = correlation * short + math.sqrt(1 - correlation**2) * rng.normal(size=num)
        found = rank_correlation(list(short), list(long))
        assert found is not None
        held += found.low <= true <= found.high
    assert 0.92 <= held / 1000 <= 0.99


def test_ln6_a_conclusion_that_holds_and_one_that_does_not():
    points = [
        point("pre", 0, 1.0, 0.5),
        point("post", 0, 1.1, 0.7),
        point("pre", 1, 1.2, 0.6),
        point("post", 1, 1.3, 0.8),
    ]
    verdict = compare(points)
    assert verdict is not None
    assert verdict.is_same_answer
    assert verdict.leads == {"norm=pre": (0.0, 0.0), "norm=post": (pytest.approx(0.1), pytest.approx(0.2))}
    assert "The answer holds: norm=pre" in verdict_text(verdict, LENGTHS, was_shown=True)
    assert "0.2 ahead" in verdict_text(verdict, LENGTHS, was_shown=True)
    assert "No hyperparameter" in moved_text(verdict)

    points[1] = point("post", 0, 1.1, 0.3, rate=0.02)
    changed = compare(points)
    assert changed is not None
    assert not changed.is_same_answer
    text = verdict_text(changed, LENGTHS, was_shown=True)
    assert "after 200 steps norm=pre was the best, after 2,000 steps norm=post is, with 0.3 validation error" in text
    tie = verdict_text(changed, LENGTHS, was_shown=False)  # which the short round called a tie
    assert tie.startswith(
        "After 200 steps no difference between the values was shown; after 2,000 steps the best trial"
    )
    moved = moved_text(changed)
    assert "learning_rate from 0.1 to 0.02 (carries over: perhaps, to be checked)" in moved
    assert "norm from pre to post (carries over: likely)" in moved


def test_ln6_without_scientific_values_the_best_point_is_what_is_checked():
    same = compare([point(None, 0, 1.0, 0.5), point(None, 1, 1.1, 0.6)])
    assert same is not None
    assert "The best point of 200 steps is the best of 2,000 steps" in verdict_text(same, LENGTHS, was_shown=False)
    other = compare([point(None, 0, 1.0, math.inf), point(None, 1, 1.1, 0.6)])
    assert other is not None
    text = verdict_text(other, LENGTHS, was_shown=False)
    assert "all/00001 with 0.6 validation error" in text
    assert "comes to infeasible" in text
    assert compare([point(None, 0, 1.0, math.inf)]) is None
    assert "do not tell" in correlation_text(other, 2)


def test_ln6_values_of_a_metric_to_maximize_are_shown_as_they_are():
    lengths = Lengths(10, 100, Objective(metric="accuracy", goal="maximize"))
    verdict = compare([point("a", 0, -0.8, -0.9), point("b", 0, -0.7, -0.85)])
    assert verdict is not None
    assert "with 0.9 validation accuracy, 0.05 ahead" in verdict_text(verdict, lengths, was_shown=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("warmup_steps", CarriesOver.VERY_LIKELY),
        ("zero_residual", CarriesOver.VERY_LIKELY),
        ("init_scale", CarriesOver.VERY_LIKELY),
        ("width", CarriesOver.LIKELY),
        ("residual_order", CarriesOver.LIKELY),
        ("batch_norm", CarriesOver.LIKELY),
        ("optimizer", CarriesOver.PERHAPS),
        ("adam.learning_rate", CarriesOver.PERHAPS),
        ("dropout", CarriesOver.PERHAPS),
        ("label_smoothing", CarriesOver.PERHAPS),
        ("random_crop", CarriesOver.PERHAPS),
        ("weight_decay", CarriesOver.PERHAPS),
        ("schedule", CarriesOver.UNLIKELY),
        ("linear.decay_steps", CarriesOver.UNLIKELY),
    ],
)
def test_ln5_what_carries_over_from_a_short_round(name, expected):
    assert carries_over(name) is expected


def test_ln4_lengths_grow_about_tenfold():
    assert growth_text(200, 2000) is None
    far, near = growth_text(200, 200_000), growth_text(200, 400)
    assert far is not None
    assert "a round of 2,000 steps in between" in far
    assert near is not None
    assert "only 2 times" in near


@pytest.mark.parametrize(("long", "has_paid"), [(0.5, True), (0.6, False), (0.7, False)])
def test_ln6_a_longer_training_that_is_no_better_is_not_what_comes_next(make_round, quiet, long, has_paid):
    """The best point had 0.6 after the short training."""
    points = [point(None, 0, 0.6, long), point(None, 1, 0.8, 0.9)]
    round_, verdict = make_round("short"), compare(points)
    best = Point(Trial("all", 0), {}, dict(round_.defaults))
    found = Lengthened(LENGTHS, points, verdict, best, None, was_shown=False, short_name="short", num_short_trials=9)
    draft = ProcedureRecord(procedure="lengthen", round="short", workload="w", verdict="", command="c", ended_at="now")
    record = completed_record(draft, round_, Place("rounds", quiet), found)
    assert record.numbers["has_paid"] is has_paid
    if has_paid:
        assert record.sentences[0] == (
            "Longer training paid: 0.5 validation error at best after 2,000 steps, against 0.6 after 200."
        )
        assert record.next[0].sentence.startswith("The best point is the candidate")
    else:
        assert record.sentences[0].startswith(f"Longer training did not pay: {long:g} validation error at best after")
        assert [each.command for each in record.next] == ["raytune-playbook advise rounds"]
        assert "candidate" not in record.next[0].sentence


def test_ln6_a_decay_makes_the_longer_training_pay_by_its_own_steps(make_round):
    points, round_ = [point(None, 0, 0.6, 0.7)], make_round("short")
    constant = BranchEnd(Branch(2000, 0, 0), 0.65, 9.0, 9.0, best_step=900)

    def with_decay(reached: float) -> Lengthened:
        branched = Branched(constant, (BranchEnd(Branch(2000, 400, 1600), reached, 9.0, 2.0, best_step=2000),))
        best = Point(Trial("all", 0), {}, dict(round_.defaults))
        return Lengthened(LENGTHS, points, compare(points), best, branched, False, "short", 9)

    assert with_decay(0.5).has_paid
    assert with_decay(0.5).values["decay_steps"] == 400
    assert not with_decay(0.68).has_paid
    assert with_decay(0.68).values["decay_steps"] is None  # the constant rate had more
