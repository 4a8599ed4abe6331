"""Specifications refuse what is no value of theirs, each in one sentence."""

from __future__ import annotations

import pytest

from raytune_playbook.errors import InputError
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.settings import Budget, Objective, Resources


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: Budget(num_trials=0, max_train_steps=1, evaluation_interval_steps=1), "Budget.num_trials"),
        (
            lambda _: Budget(num_trials=1, max_train_steps=10, evaluation_interval_steps=11),
            "11 > 10; evaluate at least",
        ),
        (
            lambda _: Budget(num_trials=1, max_train_steps=10),
            "Budget needs a value for 'evaluation_interval_steps'",
        ),
        (
            lambda _: Budget(num_trials=1, max_train_steps=1, evaluation_interval_steps=1, divergence_factor=1.0),
            "Budget.divergence_factor",
        ),
        (lambda _: Budget(num_trials=1.5, max_train_steps=1, evaluation_interval_steps=1), "Budget.num_trials"),
        (lambda _: Objective(over="mean"), "Objective.over: input should be 'best' or 'last', but got 'mean'"),
        (lambda _: Objective(split="test"), "Objective.split"),
        (lambda _: Resources(num_workers=0), "Resources.num_workers"),
        (lambda _: Resources(gpu_per_worker=1), "Resources has no field 'gpu_per_worker'"),
        (lambda study: suggest(study(), -1), "index"),
        (lambda study: study(space={"x": {"kind": "float", "low": 0.0, "high": "one"}}), "Float.high"),
        (lambda study: study(fixed={"x": [1]}), "StudySpec.fixed.x"),
    ],
)
def test_bad_specifications_are_one_sentence(make_study, make, words):
    with pytest.raises(InputError, match=words) as caught:
        make(make_study)
    assert "\n" not in str(caught.value)
