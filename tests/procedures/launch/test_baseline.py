"""Rules AD3, AD5: what a candidate is compared with, and what it cannot be compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytune_playbook import Objective, Resources, Round
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.errors import InputError
from raytune_playbook.procedures.launch.baseline import baseline_of
from raytune_playbook.procedures.launch.configuration import initial_configuration
from raytune_playbook.procedures.launch.launch import launch
from raytune_playbook.procedures.test_set.test import test as test_set
from raytune_playbook.procedures.variance.points import best_point, found_retrainings
from raytune_playbook.procedures.variance.retrainings import Point
from raytune_playbook.procedures.variance.variance import variance
from raytune_playbook.procedures.variance.words import next_of
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.registry import ClosedRecord, close_workload, write_launch
from raytune_playbook.records.storage import Storage
from raytune_playbook.workloads.tabular import BreastCancer
from tests.procedures.launch.recorded import a_round, job_file, record, write_trial
from tests.records.test_registry import a_launch


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "rounds"))


@pytest.fixture
def candidate(storage: Storage) -> Point:
    record(a_round(), storage)
    return best_point(a_round(), storage.uri)[0]


def launched(storage: Storage, point: Point, **fields: object) -> None:
    values = {
        "workload": point.round.studies[0].workload,
        "round": point.round.name,
        "index": point.index,
        "configuration": dict(point.configuration.values),
        "max_train_steps": 40,
        "evaluation_interval_steps": 10,
        "job": None,
    }
    write_launch(storage, a_launch().model_copy(update={**values, **fields}))


def test_ad3_the_candidate_is_the_best_trial(candidate: Point) -> None:
    assert (candidate.text, candidate.is_picked) == ("all/00002", True)


def test_ad3_before_any_launch_the_baseline_is_what_the_round_started_from(candidate: Point, storage: Storage) -> None:
    found = baseline_of(candidate, None, storage.uri)
    assert (found.point, found.launch) == (None, None)
    assert found.configuration == initial_configuration(candidate.round)


def test_ad3_another_round_of_the_same_is_a_baseline(candidate: Point, storage: Storage) -> None:
    other = a_round("other", seed=1)
    record(other, storage)
    found = baseline_of(candidate, other, storage.uri)
    assert found.point is not None
    assert (found.point.round.name, found.point.text, found.point.is_picked) == ("other", "all/00002", True)


def test_ad3_a_baseline_of_other_workers_is_trained_anew_on_the_candidates(candidate: Point, storage: Storage) -> None:
    other = a_round("other", seed=1, resources=Resources(num_workers=2))
    record(other, storage)
    found = baseline_of(candidate, other, storage.uri)
    assert found.point is None
    assert found.configuration == best_point(other, storage.uri)[0].configuration


@pytest.mark.parametrize(
    ("other", "num_validation", "said"),
    [
        (
            a_round("other", workload=BreastCancer(malignant_kept=0.5)),
            122,
            "are of one workload, but .*malignant_kept=0.5",
        ),
        (a_round("other", objective=Objective(metric="loss")), 122, "by one objective, but .* best validation error"),
        (
            a_round("other"),
            60,
            "'first' has 122 validation examples of arrays and 'other' 60",
        ),
        (a_round("other", fixed={"evaluation_sample": 50}), 122, "but evaluation_sample is None in 'first' and 50 in"),
        (a_round(), 122, "is another round's best trial, but --against names 'first' itself"),
    ],
)
def test_ad3_what_cannot_be_compared_is_refused_in_a_sentence(
    candidate: Point, storage: Storage, other: Round, num_validation: int, said: str
) -> None:
    if other.name == "other":
        record(other, storage, num_validation=num_validation)
    with pytest.raises(InputError, match=said):
        baseline_of(candidate, other, storage.uri)


def test_ad5_what_was_launched_last_is_the_default_baseline_in_its_own_round(
    candidate: Point, storage: Storage, tmp_path: Path
) -> None:
    job = load_job(str(job_file(tmp_path, "before")))
    record(job.round, storage, job=job)
    before, _ = best_point(job.round, storage.uri)
    launched(storage, before, job=str(job.path))
    found = baseline_of(candidate, None, storage.uri)
    assert found.launch == 1
    assert found.point is not None
    assert (found.point.round.name, found.point.text) == ("before", "all/00002")


@pytest.mark.parametrize("job", [None, "gone.py"])
def test_ad5_a_launch_whose_job_is_gone_is_trained_anew_by_todays_code(
    candidate: Point, storage: Storage, job: str | None
) -> None:
    known = {**candidate.configuration.values, "learning_rate": 0.5, "no_longer_there": 1}
    del known["depth"]
    launched(storage, candidate, round="before", configuration=known, job=job)
    found = baseline_of(candidate, None, storage.uri)
    assert (found.point, found.launch) == (None, 1)
    assert found.configuration.values == {**candidate.configuration.values, "learning_rate": 0.5}


def test_ad5_what_is_launched_already_is_no_candidate(candidate: Point, storage: Storage) -> None:
    launched(storage, candidate)
    with pytest.raises(InputError, match="the best of 'first' is launch 1 already; run another round first"):
        baseline_of(candidate, None, storage.uri)


def test_ad1_a_round_that_was_not_run_is_refused_with_what_to_run_first(storage: Storage) -> None:
    for procedure in (variance, lambda round_, storage: launch(round_, complexity="none", storage=storage)):
        with pytest.raises(InputError, match="holds no 'first'; run it first: raytune-playbook run"):
            procedure(a_round(), storage=storage.uri)


def test_ad3_too_few_retrainings_are_refused(candidate: Point, storage: Storage) -> None:
    with pytest.raises(InputError, match="from fewer than 5 retrainings nothing can be said, but got 3"):
        variance(a_round(), num_retrains=3, storage=storage.uri)
    with pytest.raises(InputError, match="fewer than 5 retrainings are not enough evidence, but got 3; give 5 or more"):
        launch(a_round(), complexity="none", num_retrains=3, storage=storage.uri)
    with pytest.raises(InputError, match="but got -1; give 0 for no path, 5 or more"):
        launch(a_round(), complexity="none", path_retrains=-1, storage=storage.uri)


def test_ad7_another_division_is_asked_for_of_a_split_only(candidate: Point, storage: Storage) -> None:
    with pytest.raises(InputError, match=r"data_split asks for another division .* return a Split"):
        variance(a_round(), data_splits=3, storage=storage.uri)


def test_ad4_the_complexity_is_said(candidate: Point, storage: Storage) -> None:
    with pytest.raises(InputError, match=r"said in words \(rule AD4\), but got nothing"):
        launch(a_round(), complexity=" ", storage=storage.uri)


def test_ad8_a_closed_workload_has_no_further_launches(candidate: Point, storage: Storage) -> None:
    workload = candidate.round.studies[0].workload
    closed = ClosedRecord(workload=workload, round="first", why="The end.", closed_at="2026-02-01T12:00:00Z")
    close_workload(storage, closed)
    with pytest.raises(InputError, match="BreastCancer was closed on 2026-02-01 by 'first'"):
        launch(a_round(), complexity="none", storage=storage.uri)
    (ended,) = next_of(candidate, storage.uri)
    assert (ended.command, "closed to launches on 2026-02-01 (rule AD8)" in ended.sentence) == (None, True)


def test_ad5_variance_names_a_launch_only_where_there_is_one(candidate: Point, storage: Storage) -> None:
    asked = "raytune-playbook launch first --complexity none"
    assert [each.command for each in next_of(candidate, DEFAULT_STORAGE)] == [asked]
    launched(storage, candidate)
    (in_use,) = next_of(candidate, storage.uri)
    assert (in_use.command, in_use.sentence.partition(":")[0]) == (None, "It is in use, as launch 1")


def test_ad6_the_test_set_is_not_read_before_a_launch(candidate: Point, storage: Storage) -> None:
    with pytest.raises(InputError, match="nothing was launched from 'first'; decide that first: raytune-play"):
        test_set(a_round(), storage=storage.uri)


def test_ad1_retrainings_are_found_in_the_rounds_own_records(candidate: Point, storage: Storage) -> None:
    store = record(a_round("other"), storage)
    for repeat, value in enumerate((0.04, 0.05, 0.06), 1):
        write_trial(store, a_round("other"), 2, repeat, value)
    point, picked = best_point(a_round("other"), storage.uri)
    assert found_retrainings(store, point).values == (0.04, 0.05, 0.06)
    assert picked.objective == 0.03
