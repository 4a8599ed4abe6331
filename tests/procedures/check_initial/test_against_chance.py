"""Rule ST5: when a value is clearly better than chance."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from raytune_playbook import Objective
from raytune_playbook.procedures.check_initial.against_chance import Scored, judged
from raytune_playbook.procedures.check_initial.words import resolution_sentence

PERMUTED = tuple(0.9 + 0.001 * place for place in range(-99, 100))


def found(value: float, permuted=PERMUTED, constant=None) -> Scored:
    return Scored("error", value, tuple(permuted), "", constant, 100)


@pytest.mark.parametrize(
    ("value", "p_value", "is_clear"),
    [(0.1, 1 / 200, True), (0.801, 2 / 200, True), (0.8125, 13 / 200, False), (0.95, 150 / 200, False)],
)
def test_st5_the_p_value_counts_permutations_at_least_as_good_and_the_true_labels(value, p_value, is_clear):
    against = judged(found(value), None, Objective())
    assert against is not None
    assert against.p_value == pytest.approx(p_value)
    assert against.is_clearly_better is is_clear
    turned = judged(found(-value, [-each for each in PERMUTED]), None, Objective(goal="maximize"))
    assert turned is not None
    assert (turned.p_value, turned.is_clearly_better) == (against.p_value, is_clear)


def test_st5_better_by_a_little_is_not_clearly_better_however_sure_it_is():
    narrow = [0.9 + 1e-6 * place for place in range(-99, 100)]
    against = judged(found(0.85, narrow), None, Objective())
    assert against is not None
    assert (against.p_value, against.is_clearly_better) == (1 / 200, False)


@pytest.mark.parametrize(
    ("constant", "untrained", "level_of"),
    [
        (None, None, "permuted labels"),
        (0.5, 0.7, "the same guess for every example"),
        (0.8, 0.6, "the untrained model"),
    ],
)
def test_st5_the_hardest_of_what_needs_nothing_learned_is_to_be_beaten(constant, untrained, level_of):
    against = judged(found(0.59, constant=constant), untrained, Objective())
    assert against is not None
    assert against.level_of == level_of
    assert against.is_clearly_better == (constant is None)


def test_st5_what_is_not_finite_is_not_compared():
    assert judged(found(math.nan), 0.9, Objective()) is None
    assert judged(found(0.1, ()), None, Objective()) is None


def test_st5_models_that_learned_nothing_are_seldom_called_better():
    """At most 1 in 100 by the p-value, and fewer by the share that is asked for."""
    rng = np.random.default_rng(0)
    num_better = 0
    for _ in range(500):
        labels, said = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
        permuted = [float((said[rng.permutation(60)] != labels).mean()) for _ in range(99)]
        against = judged(found(float((said != labels).mean()), permuted), None, Objective())
        num_better += against is not None and against.is_clearly_better
    assert num_better <= 12


def test_ev7_what_one_of_few_validation_examples_is_worth_is_said():
    few = replace(found(1 / 18, [5 / 18, 12 / 18]), num_examples=18)
    said = resolution_sentence(few)
    assert said is not None
    assert said.startswith("There are only 18 validation examples: one is 0.056 of the error, so smaller differences ")
    assert resolution_sentence(replace(few, num_examples=1800)) is None
    assert resolution_sentence(replace(few, value=1.234)) is None  # a loss tells more of an example
