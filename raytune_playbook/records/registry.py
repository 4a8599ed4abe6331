"""The registry of launches: what each workload's best configuration is, since when and why; only added to (AD5, TR1).

``_launches/<number>.json``, one file per launch of any workload in the storage, and beside it
``<number>.test-<n>.json`` for each time that the launched model's test set was read (rule AD6).
``_launches/closed/<workload>.json`` says that a workload has no further launches, since its validation set was folded
into training (rule AD8). No round can have this folder's name.
"""

from __future__ import annotations

import json
from typing import TypeVar

import pyarrow as pa

from raytune_playbook.errors import InputError, StorageError
from raytune_playbook.records.creation import create_if_absent
from raytune_playbook.records.storage import Storage, first_line
from raytune_playbook.study.fingerprints import fingerprint
from raytune_playbook.study.frozen import FrozenSpec, Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import WorkloadSpec

FOLDER = "_launches"


class ChangeRecord(FrozenSpec):
    """A change from what was replaced, and the evidence that it earns its place.

    Fields:
        names: of what changed together: one hyperparameter, or an optimizer with its own.
        was, now: their values.
        gain: by how much the median is better with it; None where it was not measured alone.
        probability: that it is better with it; None likewise.
        has_evidence: whether that is sure; a change without is flagged.
    """

    names: tuple[str, ...]
    was: dict[str, Value]
    now: dict[str, Value]
    gain: float | None = None
    probability: float | None = None
    has_evidence: bool


class LaunchRecord(FrozenSpec):
    """One launch.

    Fields:
        number: among those of the storage, from 1; given when it is written.
        workload: which workload, as its rounds record it.
        round, study, index: the point whose configuration was launched.
        configuration: every hyperparameter's value.
        max_train_steps, evaluation_interval_steps: how long it trains.
        objective: what it is judged by.
        stored_at: where its study is stored.
        job: the job file of its round; None for a round of the Python API.
        notes: of the round.
        num_trials: that the round had.
        best: the best validation performance of its own run, which the search picked.
        median, deviation, num_retrains: of its retrainings; the deviation is None where one was infeasible.
        command: reproduces the round; ``launch_command`` the decision.
        commit, uncommitted, uncommitted_diff: of the code, whether it had changes since, and where they are stored.
        replaced: what it replaces, in words; ``replaced_launch`` the number of that launch, None where it was none.
        replaced_median: the median of the retrainings of that.
        verdict, probability, method: what the comparison came to.
        gain: of the medians; above zero where it is better.
        changes: from what it replaces.
        complexity: what the change adds, as the user has said it; empty for none.
        anyway: why it was launched against the verdict; None where it was not.
        launched_at: UTC, ISO 8601.
    """

    number: int = 0
    workload: WorkloadSpec
    round: str
    study: str
    index: int
    configuration: dict[str, Value]
    max_train_steps: int
    evaluation_interval_steps: int
    objective: Objective
    stored_at: str
    job: str | None
    notes: str
    num_trials: int
    best: float
    median: float | None
    deviation: float | None
    num_retrains: int
    command: str
    launch_command: str
    commit: str | None
    uncommitted: bool
    uncommitted_diff: str | None
    replaced: str
    replaced_launch: int | None
    replaced_median: float | None
    verdict: str
    probability: float | None
    method: str
    gain: float | None
    changes: tuple[ChangeRecord, ...]
    complexity: str
    anyway: str | None
    launched_at: str

    @property
    def trial(self) -> str:
        """The point as commands take it."""
        return f"{self.study}/{self.index:05d}"


class TestRecord(FrozenSpec):
    """One time that a launch's test set was read.

    Fields:
        launch: its number.
        round, trial: whose model was scored, the trial as STUDY/INDEX.
        metric, value, standard_error: what it came to by the objective's metric; None where it is not known.
        num_examples: of the test set.
        reason: why it was read again; None for the first time.
        is_folded: whether the model was trained on the validation set, too.
        tested_at: UTC, ISO 8601.
    """

    __test__ = False  # no test of pytest's

    launch: int
    round: str
    trial: str
    metric: str
    value: float | None
    standard_error: float | None
    num_examples: int
    reason: str | None
    is_folded: bool = False
    tested_at: str


class ClosedRecord(FrozenSpec):
    """That a workload has no further launches, and why."""

    workload: WorkloadSpec
    round: str
    why: str
    closed_at: str


_Record = TypeVar("_Record", LaunchRecord, TestRecord, ClosedRecord)


def is_same_workload(one: WorkloadSpec, other: WorkloadSpec) -> bool:
    """Whether launches of one replace those of the other: the name and the settings count, and not the code."""
    return (one.name, one.settings) == (other.name, other.settings)


def write_launch(storage: Storage, launch: LaunchRecord) -> LaunchRecord:
    """Add a launch under the next number, and return it as it was written."""
    number = max((each.number for each in read_launches(storage)), default=0)
    with storage.failures_told("written", FOLDER):
        while True:
            number += 1
            numbered = launch.model_copy(update={"number": number})
            if create_if_absent(storage, f"{FOLDER}/{number:05d}.json", _json(numbered)):
                return numbered


def write_test(storage: Storage, test: TestRecord) -> None:
    """Add to a launch that its test set was read."""
    number = 1
    with storage.failures_told("written", FOLDER):
        while not create_if_absent(storage, f"{FOLDER}/{test.launch:05d}.test-{number}.json", _json(test)):
            number += 1


def close_workload(storage: Storage, closed: ClosedRecord) -> None:
    """Say that a workload has no further launches; one that is closed stays as it was."""
    with storage.failures_told("written", FOLDER):
        create_if_absent(storage, _closed_path(closed.workload), _json(closed))


def closed_workload(storage: Storage, workload: WorkloadSpec) -> ClosedRecord | None:
    """Why a workload has no further launches; None where it may have."""
    return _read(storage, _closed_path(workload), ClosedRecord)


def read_launches(storage: Storage, workload: WorkloadSpec | None = None) -> list[LaunchRecord]:
    """All launches of a storage, or those of one workload, the newest last.

    Raises:
        StorageError: a record is broken; what is the baseline would not be known.
    """
    found = [_read(storage, path, LaunchRecord) for path in _files(storage) if ".test-" not in path]
    launches = [each for each in found if each is not None]
    return [each for each in launches if workload is None or is_same_workload(each.workload, workload)]


def newest_launch(storage: Storage, workload: WorkloadSpec) -> LaunchRecord | None:
    """What the next candidate of a workload is compared with by default; None where nothing was launched yet."""
    return next(reversed(read_launches(storage, workload)), None)


def read_tests(storage: Storage) -> list[TestRecord]:
    """Every time that a launch's test set was read, the latest last; raises as `read_launches` does."""
    found = [_read(storage, path, TestRecord) for path in _files(storage) if ".test-" in path]
    return sorted((each for each in found if each is not None), key=lambda test: test.tested_at)


def registry_table(launches: list[LaunchRecord], tests: list[TestRecord]) -> pa.Table:
    """The registry as a table, a row per launch (rule TR1).

    ``test_set_read`` counts every time; ``test_performance`` is the launched model's, and ``test_performance_folded``
    that of the model that was trained on the validation examples, too.
    """
    rows = [_row(launch, [test for test in tests if test.launch == launch.number]) for launch in launches]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


_TEXT = pa.string()
_SCHEMA = pa.schema(
    [
        ("launch", pa.int64()),
        ("launched_at", _TEXT),
        ("workload", _TEXT),
        ("round", _TEXT),
        ("study", _TEXT),
        ("trial", _TEXT),
        ("configuration", _TEXT),
        ("max_train_steps", pa.int64()),
        ("configuration_stored_at", _TEXT),
        ("notes", _TEXT),
        ("num_trials", pa.int64()),
        ("objective", _TEXT),
        ("best_validation_performance", pa.float64()),
        ("median_of_retrains", pa.float64()),
        ("deviation_of_retrains", pa.float64()),
        ("num_retrains", pa.int64()),
        ("reproduction_command", _TEXT),
        ("launch_command", _TEXT),
        ("commit", _TEXT),
        ("uncommitted_changes", pa.bool_()),
        ("uncommitted_changes_stored_at", _TEXT),
        ("replaced", _TEXT),
        ("median_of_replaced", pa.float64()),
        ("verdict", _TEXT),
        ("gain", pa.float64()),
        ("probability_of_improvement", pa.float64()),
        ("method", _TEXT),
        ("changes", _TEXT),
        ("changes_without_evidence", _TEXT),
        ("complexity", _TEXT),
        ("launched_anyway_because", _TEXT),
        ("test_set_read", pa.int64()),
        ("test_performance", pa.float64()),
        ("test_performance_folded", pa.float64()),
    ]
)


def _row(launch: LaunchRecord, tests: list[TestRecord]) -> dict[str, object]:
    changed = {name: launch.configuration.get(name) for change in launch.changes for name in change.names}
    return {
        "launch": launch.number,
        "launched_at": launch.launched_at,
        "workload": launch.workload.name,
        "round": launch.round,
        "study": launch.study,
        "trial": launch.trial,
        "configuration": json.dumps(launch.configuration, sort_keys=True),
        "max_train_steps": launch.max_train_steps,
        "configuration_stored_at": launch.stored_at,
        "notes": launch.notes,
        "num_trials": launch.num_trials,
        "objective": launch.objective.name,
        "best_validation_performance": launch.best,
        "median_of_retrains": launch.median,
        "deviation_of_retrains": launch.deviation,
        "num_retrains": launch.num_retrains,
        "reproduction_command": launch.command,
        "launch_command": launch.launch_command,
        "commit": launch.commit,
        "uncommitted_changes": launch.uncommitted,
        "uncommitted_changes_stored_at": launch.uncommitted_diff,
        "replaced": launch.replaced,
        "median_of_replaced": launch.replaced_median,
        "verdict": launch.verdict,
        "gain": launch.gain,
        "probability_of_improvement": launch.probability,
        "method": launch.method,
        "changes": json.dumps(changed, sort_keys=True),
        "changes_without_evidence": ", ".join(
            name for change in launch.changes if not change.has_evidence for name in change.names
        ),
        "complexity": launch.complexity,
        "launched_anyway_because": launch.anyway,
        "test_set_read": len(tests),
        "test_performance": next((test.value for test in tests if not test.is_folded), None),
        "test_performance_folded": next((test.value for test in tests if test.is_folded), None),
    }


def _files(storage: Storage) -> list[str]:
    return [f"{FOLDER}/{file}" for file in storage.files(FOLDER) if file[:1].isdigit() and file.endswith(".json")]


def _closed_path(workload: WorkloadSpec) -> str:
    return f"{FOLDER}/closed/{fingerprint([workload.name, dict(workload.settings)])}.json"


def _json(record: _Record) -> bytes:
    return (json.dumps(record.model_dump(mode="json"), indent=2) + "\n").encode()


def _read(storage: Storage, path: str, kind: type[_Record]) -> _Record | None:
    content = storage.read(path)
    if content is None:
        return None
    try:
        return kind.from_json(content)
    except InputError as error:
        raise StorageError(
            f"{path} in {storage.uri!r} must hold a {kind.__name__}, but does not ({first_line(error)}); restore it."
        ) from None
