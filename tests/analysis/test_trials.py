"""Trials as rows."""

from __future__ import annotations

from dataclasses import fields, replace

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.records.columns import TIME_COLUMNS, trials_table
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Attempt, Machine, Outcome, TimeByPart, Training, TrialRecord
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec


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
        training=Training(
            num_steps=10,
            num_parameters=99,
            train_s=1.5,
            time_by_part=TimeByPart(wait_s=0.5, transfer_s=0.1, sync_s=0.2, augment_s=0.3, compute_s=0.25),
            evaluations_s=0.15,
            stages={"read": 0.6, "remote read": 0.0},
            best_checkpoint_step=4,
        ),
        attempts=(Attempt(1, "g0", "t0", "failed", "Traceback\nValueError"), Attempt(2, "g1", "t1", "completed")),
        machine=Machine("2.13", "AVX2", "cpu", 2, 1, ("n0", "n1"), (4, 8)),
    )
    store = RoundStore(Storage(str(tmp_path)), "round")
    store.write_trial(record)
    (trial,) = trials_of(store.trials("a"))
    same = {field.name for field in fields(Trial)} - {"study", "index", "repeat", "values"}
    assert {name: getattr(trial, name) for name in same} == {name: getattr(record, name) for name in same}
    assert (trial.id, trial.values) == (("a", "00007"), record.spec.values)
    assert trial.last_traceback == "Traceback\nValueError"


def test_records_of_an_older_version_are_read_alone_and_beside_new_ones(tmp_path):
    """Its tables had neither the parts of a step's time, but for waiting, nor stages, nor cores."""
    store = RoundStore(Storage(str(tmp_path)), "round")
    machine_now = Machine("2.13", "AVX2", "cpu", 1, 1, ("n0",), (4,))
    training = Training(num_steps=10, num_parameters=99, train_s=1.5, time_by_part=TimeByPart(0.5), evaluations_s=0.1)
    known = {"outcome": "completed", "machine": machine_now}
    store.write_trial(TrialRecord(spec=spec(0), training=training, **known))
    path = tmp_path / "round/a/trials/00000.parquet"
    old = pq.read_table(path).drop_columns([*TIME_COLUMNS[1:], "evaluations_s", "stages"])
    (machine,) = old["machine"].to_pylist()
    del machine["cores"]
    place = old.column_names.index("machine")
    pq.write_table(old.set_column(place, "machine", pa.array([machine])), path)
    (alone,) = trials_of(store.trials("a"))
    training_now = replace(training, stages={"decode": 2.0})
    store.write_trial(TrialRecord(spec=spec(1), training=training_now, **known))
    beside, new = trials_of(store.trials("a"))
    assert alone == beside
    assert beside.training == replace(training, time_by_part=None, evaluations_s=None)
    assert beside.machine == replace(machine_now, cores=())
    assert (new.training, new.machine) == (training_now, machine_now)
    assert beside.machine.same_bits(new.machine)


def test_keys_are_the_records_own():
    for trial_spec in (spec(12), spec(12, repeat=3)):
        (trial,) = trials_of(trials_table([TrialRecord(trial_spec)]))
        assert trial.key == trial_spec.key
        assert (trial.outcome, trial.last_traceback) == (None, None)


def test_an_empty_table_has_no_trials():
    assert trials_of(trials_table([])) == ()


def test_a_printed_trial_says_how_it_ended_and_its_values():
    values = {"learning_rate": 0.012345, "optimizer": "adam"}
    best = Trial("a", 3, values=values, outcome=Outcome.COMPLETED, objective=0.25, best_step=1200)
    assert str(best) == "a/00003: completed with 0.25 at step 1,200\nlearning_rate=0.01235, optimizer=adam"
    assert str(Trial("a", 1, 2)).splitlines()[0] == "a/00001.r2: has not ended"
    assert str(Trial("a", 1, outcome=Outcome.INFEASIBLE, reason="NaN: loss")).startswith(
        "a/00001: infeasible (NaN: loss)"
    )
