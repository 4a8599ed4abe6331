"""Rule LN2: what the sweep's trials have, and what is switched off in them."""

from __future__ import annotations

import pytest

from raytune_playbook import Budget, Categorical, Float, Objective, Round
from raytune_playbook.procedures.train_steps.sweep import Length
from raytune_playbook.procedures.train_steps.sweep_round import centre_of, noise_of, sweep_round, switched_off
from raytune_playbook.records.facts import AUGMENTATION, BATCH_SIZE, DROPOUT, facts_of
from raytune_playbook.search.suggest import suggest
from raytune_playbook.workloads.digits import DigitsResNet

ROUND = Round(
    name="digits",
    goal="A goal?",
    workload=DigitsResNet(),
    scientific={"batch_norm": Categorical(["device", "ghost"])},
    nuisance={"learning_rate": Float(0.1, 10.0, scale="log"), "dropout": Float(0.1, 0.5)},
    fixed={"schedule": "cosine", "decay_steps": 50, "warmup_steps": 5, "averaging": "uniform", "weight_decay": 0.01},
    budget=Budget(num_trials=8, max_train_steps=200, evaluation_interval_steps=25),
)


def test_ln2_rates_are_swept_at_a_constant_schedule_without_augmentation_and_regularization():
    swept = sweep_round(ROUND, [0.1, 1.0], Length(60, 3), Objective(metric="error", split="train"), 0.0)
    (study,) = swept.studies
    off = {
        "schedule": "constant", "decay_steps": None, "warmup_steps": 0, "averaging": "none", "data_augmentation": False,
        "dropout": 0.0, "weight_decay": 0.0, "label_smoothing": 0.0,
    }  # fmt: skip
    assert switched_off(ROUND) == off
    for index, rate in enumerate((0.1, 1.0)):
        trial = suggest(study, index)
        assert trial.values == ROUND.defaults | {"batch_norm": "device", "learning_rate": rate} | off
        assert (trial.max_train_steps, trial.evaluation_interval_steps, trial.target) == (60, 3, 0.0)
    assert study.num_trials == 2
    assert centre_of(ROUND) == pytest.approx(1.0)  # the default is outside of the range


def test_ln7_what_makes_gradients_noisier_is_named_and_bound_to():
    assert set(noise_of(ROUND)) == {"weight_decay", "dropout"}
    facts = facts_of(ROUND.studies, ROUND.resources)
    assert {name: facts[name] for name in (BATCH_SIZE, DROPOUT, AUGMENTATION)} == {
        BATCH_SIZE: "64", DROPOUT: "0.5 at most", AUGMENTATION: "on",
    }  # fmt: skip
    changed = ROUND.model_copy(update={"fixed": {"batch_size": 32, "data_augmentation": False}})
    others = facts_of(changed.studies, changed.resources)
    assert {name for name in facts if facts[name] != others[name]} == {BATCH_SIZE, AUGMENTATION}
