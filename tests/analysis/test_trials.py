"""Trials as rows."""

from __future__ import annotations

from dataclasses import fields

from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.records.store import RoundStore, Storage
from raytune_playbook.records.types import Attempt, Machine, TrialRecord, trials_table
from raytune_playbook.study.spec import Objective, TrialSpec


def spec(index: int, repeat: int = 0) -> TrialSpec:
    return TrialSpec(
        study="a",
        index=index,
        repeat=repeat,
        seed=3,
        values={"learning_rate": 0.1, "optimizer": "adam", "nesterov": True, "depth": 3},
        max_train_steps=10,
        evaluation_interval_steps=5,
        divergence_factor=2.0,
        objective=Objective(),
    )


def test_a_record_comes_back_from_disk_as_it_was(tmp_path):
    record = TrialRecord(
        spec=spec(7),
        outcome="completed",
        objective=0.25,
        best_step=5,
        num_steps=10,
        num_parameters=99,
        train_s=1.5,
        wait_s=0.5,
        attempts=(Attempt(1, "g0", "t0", "failed", "Traceback\nValueError"), Attempt(2, "g1", "t1", "completed")),
        machine=Machine("2.13", "AVX2", "cpu", 2, 1, ("n0", "n1")),
    )
    store = RoundStore(Storage(str(tmp_path)), "round")
    store.write_trial(record)
    (trial,) = trials_of(store.trials("a"))
    same = {field.name for field in fields(Trial)} - {"study", "index", "repeat", "values"}
    assert {name: getattr(trial, name) for name in same} == {name: getattr(record, name) for name in same}
    assert (trial.id, trial.values) == (("a", "00007"), record.spec.values)
    assert trial.last_traceback == "Traceback\nValueError"


def test_keys_are_the_records_own():
    for trial_spec in (spec(12), spec(12, repeat=3)):
        (trial,) = trials_of(trials_table([TrialRecord(trial_spec)]))
        assert trial.key == trial_spec.key
        assert (trial.outcome, trial.last_traceback) == (None, None)


def test_an_empty_table_has_no_trials():
    assert trials_of(trials_table([])) == ()
