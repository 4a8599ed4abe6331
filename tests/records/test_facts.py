"""What measurements are bound to: each fact changes with what it is a fact of, and with nothing else."""

from __future__ import annotations

import pytest

from raytune_playbook.records.facts import (
    AUGMENTATION,
    BATCH_SIZE,
    CODE,
    DROPOUT,
    HARDWARE,
    MODEL,
    NUM_STEPS,
    OPTIMIZER,
    SOURCE,
    WORKERS,
    facts_of,
)
from raytune_playbook.records.types import Machine
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Float
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget, Resources
from tests.study.conftest import DEFAULTS, PlainWorkload

CPU = Machine(torch="2.13", device="cpu", cpu_capability="AVX2")


def round_of(**options: object) -> Round:
    given: dict[str, object] = {
        "name": "round",
        "goal": "Is it bound?",
        "workload": PlainWorkload(DEFAULTS | {"dropout": 0.0, "data_augmentation": True}),
        "nuisance": {"learning_rate": Float(0.01, 1.0, scale="log")},
        "budget": Budget(num_trials=4, max_train_steps=100, evaluation_interval_steps=10),
    }
    return Round(**(given | options))  # type: ignore[arg-type]


def facts(**options: object) -> dict[str, str]:
    round_ = round_of(**options)
    return facts_of(round_.studies, round_.resources, CPU)


@pytest.mark.parametrize(
    ("changed", "options"),
    [
        (MODEL, {"fixed": {"width": 64}}),
        (OPTIMIZER, {"fixed": {"optimizer": "adam"}}),
        (OPTIMIZER, {"scientific": {"optimizer": Categorical(["momentum", "adam"])}}),
        (WORKERS, {"resources": Resources(num_workers=2)}),
        (NUM_STEPS, {"budget": Budget(num_trials=4, max_train_steps=200, evaluation_interval_steps=10)}),
        (None, {"fixed": {"weight_decay": 0.1}}),
        (DROPOUT, {"fixed": {"dropout": 0.1}}),
        (DROPOUT, {"nuisance": {"dropout": Float(0.0, 0.3)}}),
        (BATCH_SIZE, {"fixed": {"batch_size": 128}}),
        (AUGMENTATION, {"fixed": {"data_augmentation": False}}),
        (None, {"fixed": {"batch_size": 64}}),
        (None, {"nuisance": {"learning_rate": Float(0.1, 1.0, scale="log")}}),
        (None, {"seed": 3}),
    ],
)
def test_ba9_facts_change_with_what_they_are_facts_of(changed, options):
    before, now = facts(), facts(**options)
    assert {name for name in before if before[name] != now[name]} == ({changed} if changed else set())


def test_ba9_hardware_is_a_fact_once_a_trial_has_run():
    round_ = round_of()
    assert HARDWARE not in facts_of(round_.studies, round_.resources)
    assert facts_of(round_.studies, round_.resources, CPU)[HARDWARE] == "cpu, AVX2"


def test_ba9_records_of_older_versions_are_bound_to_the_whole_file_and_newer_ones_to_what_trains():
    round_ = round_of()
    old = facts_of(round_.studies, round_.resources)
    assert (old[SOURCE], CODE in old) == (round_.studies[0].workload.source_hash, False)
    spec = round_.studies[0].workload.model_copy(update={"code_hash": "c0de"})
    (study,) = (each.model_copy(update={"workload": spec}) for each in round_.studies)
    assert facts_of([study], round_.resources) == {**old, CODE: "c0de"}
