"""The registry of launches: only added to, and readable as a table (rules AD5, AD6, AD8, TR1)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raytune_playbook.errors import StorageError
from raytune_playbook.records.registry import (
    ChangeRecord,
    ClosedRecord,
    LaunchRecord,
    TestRecord,
    close_workload,
    closed_workload,
    newest_launch,
    read_launches,
    read_tests,
    registry_table,
    write_launch,
    write_test,
)
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import round_names
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import WorkloadSpec

NET = WorkloadSpec(module="jobs", name="Net", settings={"deep": True}, source_hash="aa")
OTHER = NET.model_copy(update={"settings": {"deep": False}})


def a_launch(round_: str = "first", workload: WorkloadSpec = NET) -> LaunchRecord:
    changed = {"names": ("dropout",), "was": {"dropout": 0.0}, "now": {"dropout": 0.1}}
    return LaunchRecord(
        workload=workload,
        round=round_,
        study="all",
        index=3,
        configuration={"dropout": 0.1, "optimizer": "adam", "clipping_norm": None, "compile": False},
        max_train_steps=100,
        evaluation_interval_steps=20,
        objective=Objective(metric="error"),
        stored_at="/rounds/first/all/study.json",
        job="/jobs/first.py",
        notes="Tried on a laptop.",
        num_trials=12,
        best=0.02,
        median=0.025,
        deviation=0.002,
        num_retrains=20,
        command="raytune-playbook run /jobs/first.py",
        launch_command="raytune-playbook launch first --complexity none",
        commit="abc",
        uncommitted=True,
        uncommitted_diff="/rounds/first/uncommitted.diff",
        replaced="what the round started from",
        replaced_launch=None,
        replaced_median=0.03,
        verdict="adopt",
        probability=0.99,
        method="a test",
        gain=0.005,
        changes=(ChangeRecord(**changed, gain=0.0, probability=0.5, has_evidence=False),),
        complexity="",
        anyway=None,
        launched_at="2026-01-31T12:00:00Z",
    )


def a_test(launch: int) -> TestRecord:
    return TestRecord(
        launch=launch,
        round="first",
        trial="all/00003",
        metric="error",
        value=0.03,
        standard_error=0.005,
        num_examples=500,
        reason=None,
        tested_at="2026-02-01T12:00:00Z",
    )


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "rounds"))


def test_ad5_the_newest_launch_of_a_workload_is_the_default_baseline(storage: Storage) -> None:
    assert newest_launch(storage, NET) is None
    write_launch(storage, a_launch("first"))
    second = write_launch(storage, a_launch("second"))
    write_launch(storage, a_launch("elsewhere", OTHER))
    assert newest_launch(storage, NET) == second
    assert second.number == 2
    moved = NET.model_copy(update={"module": "__main__", "source_hash": "bb"})  # the same workload, edited
    assert newest_launch(storage, moved) == second
    assert round_names(storage) == []  # none of them is taken for a round


def test_ad5_launches_are_only_added_whoever_writes_at_once(storage: Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda number: write_launch(storage, a_launch(f"round{number}")), range(24)))
    assert sorted(each.number for each in written) == list(range(1, 25))
    assert {each.number: each for each in read_launches(storage)} == {each.number: each for each in written}


def test_tr1_the_registry_as_a_table_has_the_columns_that_the_playbook_lists(storage: Storage) -> None:
    launch = write_launch(storage, a_launch())
    write_test(storage, a_test(launch.number))
    write_test(storage, a_test(launch.number).model_copy(update={"value": 0.02, "is_folded": True}))
    table = registry_table(read_launches(storage), read_tests(storage))
    (row,) = table.to_pylist()
    assert row["study"] == "all"
    assert row["configuration_stored_at"] == "/rounds/first/all/study.json"
    assert row["notes"] == "Tried on a laptop."
    assert row["num_trials"] == 12
    assert row["best_validation_performance"] == 0.02
    assert row["reproduction_command"] == "raytune-playbook run /jobs/first.py"
    assert (row["uncommitted_changes"], row["uncommitted_changes_stored_at"]) == (
        True,
        "/rounds/first/uncommitted.diff",
    )
    assert json.loads(row["configuration"]) == launch.configuration
    assert row["changes_without_evidence"] == "dropout"
    assert (row["test_set_read"], row["test_performance"], row["test_performance_folded"]) == (2, 0.03, 0.02)  # AD6
    assert registry_table([], []).column_names == table.column_names


def test_ad8_a_workload_is_closed_once_and_its_kin_stay_open(storage: Storage) -> None:
    assert closed_workload(storage, NET) is None
    closed = ClosedRecord(workload=NET, round="first", why="It ends here.", closed_at="2026-02-01T12:00:00Z")
    close_workload(storage, closed)
    close_workload(storage, closed.model_copy(update={"round": "second"}))
    assert closed_workload(storage, NET) == closed
    assert closed_workload(storage, OTHER) is None


def test_ad5_a_broken_launch_is_told_and_not_passed_over(storage: Storage) -> None:
    write_launch(storage, a_launch())
    storage.write("_launches/00001.json", b"{}")
    with pytest.raises(StorageError, match=r"_launches/00001.json .* must hold a LaunchRecord, but does not .*restore"):
        newest_launch(storage, NET)
