"""What events become in the records; without a cluster."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from raytune_playbook import Round
from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName, Cause
from raytune_playbook.engine.jobs.provenance import provenance_of, round_record
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, NewMeasurements
from raytune_playbook.errors import StorageFailure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables import compaction
from raytune_playbook.study.study import StudySpec
from raytune_playbook.study.trial import trial_key


@pytest.fixture
def round_(make_round) -> Round:
    return make_round("recorded", trials_per_study=3)


@pytest.fixture
def store(round_, tmp_path) -> RoundStore:
    created = RoundStore(Storage(str(tmp_path)), round_.name)
    created.create(round_record(round_, provenance_of(None, str(tmp_path))), round_.studies, notes="", diff="")
    return created


def with_code(round_: Round, source_hash: str) -> list[StudySpec]:
    return [
        study.model_copy(update={"workload": study.workload.model_copy(update={"source_hash": source_hash})})
        for study in round_.studies
    ]


def run_trial(recorder: Recorder, index: int, cause: Cause) -> None:
    name = AttemptName("r", ("all", f"{index:05d}"), 1)
    recorder.handle(AttemptStarted(name, "gang-1"))
    recorder.handle(NewMeasurements(name, ({"step": 0, "split": "validation", "loss": 1.0},)))
    recorder.handle(AttemptEnded(name, AttemptEnd(cause), is_final=True))


def test_a_trial_that_is_retried_with_other_code_says_so_in_its_record_and_in_a_warning(round_, store):
    before = Recorder(store, round_.studies)
    run_trial(before, 0, Cause.EXCEPTION)
    run_trial(before, 1, Cause.STOPPED)
    same = Recorder(store, round_.studies)
    run_trial(same, 1, Cause.STOPPED)
    assert before.tally.warnings == same.tally.warnings == []

    mended = Recorder(store, with_code(round_, "mended"))
    for index in range(3):
        run_trial(mended, index, Cause.COMPLETED)
    retried, resumed, new = mended.tally.warnings
    assert retried.startswith("trial all/00000 is trained by other code than before")
    assert resumed.startswith("trial all/00001 is trained by other code than before")
    assert new.startswith("the workload's source has changed since the round began")
    code = store.round().workload.source_hash
    hashes = [[attempt.source_hash for attempt in trial.attempts] for trial in trials_of(store.trials())]
    assert hashes == [[code, "mended"], [code, code, "mended"], ["mended"]]


def test_what_the_storage_takes_no_more_of_ends_the_round_and_not_the_trial(round_, store):
    recorder = Recorder(store, round_.studies)
    name = AttemptName("r", ("all", "00000"), 1)
    recorder.handle(AttemptStarted(name, "gang-1"))
    with pytest.raises(StorageFailure, match="no room"):
        recorder.handle(AttemptEnded(name, AttemptEnd(Cause.STORAGE_FAILED, error="no room"), is_final=True))
    (trial,) = trials_of(store.trials())
    assert (trial.outcome, trial.attempts[0].ended) == (None, "storage failed")


def test_attempts_of_older_records_have_no_hash(round_, store):
    run_trial(Recorder(store, round_.studies), 0, Cause.EXCEPTION)
    (trial,) = trials_of(store.trials())
    recorder = Recorder(store, round_.studies)
    old = replace(trial.attempts[0], source_hash=None)
    recorder.tally.trials[trial.id] = replace(trial, attempts=(old,))
    run_trial(recorder, 0, Cause.STOPPED)
    assert recorder.tally.warnings == []


def test_records_of_trials_that_ended_are_put_together_while_a_round_runs_and_at_its_end(round_, store, monkeypatch):
    monkeypatch.setattr(compaction, "EVERY_TRIALS", 2)
    recorder = Recorder(store, round_.studies)

    def num_files() -> list[int]:
        return [len(store.storage.files(f"{round_.name}/all/{kind}")) for kind in ("trials", "measurements")]

    for index in range(2):
        assert num_files() == [index, index]
        run_trial(recorder, index, Cause.EXCEPTION)
        recorder.compact(lambda: None)
    assert num_files() == [1, 1]
    run_trial(recorder, 2, Cause.EXCEPTION)
    before = store.trials().to_pylist()
    recorder.compact(lambda: None)
    assert num_files() == [2, 2]
    recorder.compact(lambda: None, is_end=True)
    assert num_files() == [1, 1]
    assert store.trials().to_pylist() == before

    retrying = Recorder(store, round_.studies)
    assert retrying.done() == {("all", trial_key(index)) for index in range(3)}
    assert retrying.done(but_failed=True) == set()
    run_trial(retrying, 1, Cause.INFEASIBLE)
    retrying.compact(lambda: None, is_end=True)
    rows = store.trials().to_pylist()
    assert [row["outcome"] for row in rows] == ["failed", "infeasible", "failed"]
    assert [len(row["attempts"]) for row in rows] == [1, 2, 1]
    assert num_files() == [1, 1]


def test_a_storage_that_does_not_take_the_parts_costs_a_warning_and_no_trial(round_, store, monkeypatch):
    recorder = Recorder(store, round_.studies)
    for index in range(3):
        run_trial(recorder, index, Cause.EXCEPTION)
    before = store.trials().to_pylist()
    write = Storage.write

    def full(self: Storage, path: str, content: bytes) -> None:
        if ".part" in path:
            raise StorageFailure("no room")
        write(self, path, content)

    monkeypatch.setattr(Storage, "write", full)
    recorder.compact(lambda: None, is_end=True)
    (warning,) = recorder.tally.warnings
    assert "nothing of them is lost (no room)" in warning
    assert store.trials().to_pylist() == before


def test_what_a_trial_has_measured_does_not_stay_in_memory_when_it_has_ended(round_, store):
    recorder = Recorder(store, round_.studies)
    rows = tuple({"step": step, "split": "validation", "loss": 1.0} for step in range(20_000))
    before = pa.total_allocated_bytes()
    for index, cause in enumerate((Cause.COMPLETED, Cause.INFEASIBLE, Cause.STOPPED)):
        name = AttemptName("r", ("all", f"{index:05d}"), 1)
        recorder.handle(AttemptStarted(name, "gang-1"))
        recorder.handle(NewMeasurements(name, rows))
        recorder.handle(AttemptEnded(name, AttemptEnd(cause), is_final=True))
    assert pa.total_allocated_bytes() - before < 8 * len(rows)  # one column of one trial
