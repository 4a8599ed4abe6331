"""A round in a temporary storage."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from fsspec.implementations.local import LocalFileSystem
from moto.server import ThreadedMotoServer

from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundRecord, TrialRecord
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Budget, Objective, Resources
from raytune_playbook.study.study import StudySpec, WorkloadSpec
from raytune_playbook.study.trial import TrialSpec

WORKLOAD = WorkloadSpec(module="jobs.digits", name="Digits", settings={"size": 3}, source_hash="5f3c")


@pytest.fixture
def record() -> RoundRecord:
    return RoundRecord(
        name="round",
        goal="Does it matter?",
        roles={"activation": "scientific", "depth": "fixed"},
        reasons={},
        caveats=["depth = 20"],
        warnings=["SD1: ..."],
        objective=Objective(),
        budget=Budget(num_trials=8, max_train_steps=100, evaluation_interval_steps=10),
        resources=Resources(node_labels={"zone": "a"}),
        seed=2**63,
        fingerprint="00",
        workload=WORKLOAD,
        studies=["activation=relu", "activation=tanh"],
        job=None,
        command="raytune-playbook run job.py",
        commit=None,
        uncommitted=True,
        versions={"torch": "2.13"},
        created_at="2026-01-02T03:04:05+00:00",
    )


@pytest.fixture
def studies(record: RoundRecord) -> list[StudySpec]:
    return [
        StudySpec(
            name=name,
            arm={"activation": name.partition("=")[2]},
            space={},
            fixed={"depth": 20},
            seed=record.seed,
            num_trials=4,
            objective=record.objective,
            max_train_steps=100,
            evaluation_interval_steps=10,
            divergence_factor=2.0,
            workload=WORKLOAD,
            num_workers=1,
            threads_per_worker=1,
        )
        for name in record.studies
    ]


@pytest.fixture
def store(tmp_path: Path) -> RoundStore:
    return RoundStore(Storage(str(tmp_path / "rounds")), "round")


@pytest.fixture
def created(store: RoundStore, record: RoundRecord, studies: list[StudySpec]) -> RoundStore:
    """The same store, with its round in it."""
    store.create(record, studies, notes="A note.", diff="+ a line")
    return store


@pytest.fixture
def make_trial() -> Callable[..., TrialRecord]:
    """A function from (study, index, values) to a trial's record."""

    def make(
        study: str, index: int, values: dict[str, Value] | None = None, repeat: int = 0, **fields: object
    ) -> TrialRecord:
        spec = TrialSpec(
            study=study,
            index=index,
            repeat=repeat,
            seed=0,
            values=values or {},
            max_train_steps=100,
            evaluation_interval_steps=10,
            divergence_factor=2.0,
            objective=Objective(),
        )
        return TrialRecord(spec=spec, **fields)

    return make


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A server that speaks S3, on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Storage]:
    """Opens a storage in a bucket that starts empty."""
    for name, value in {"ENDPOINT_URL": s3_endpoint, "ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = f"bucket-{uuid.uuid4().hex}"
    pafs.S3FileSystem(endpoint_override=s3_endpoint, region="us-east-1", allow_bucket_creation=True).create_dir(bucket)
    return lambda: Storage(f"s3://{bucket}/rounds?region=us-east-1")


@pytest.fixture
def object_store(tmp_path: Path) -> Callable[[], Storage]:
    """Opens a storage that other processes see too, and of which pyarrow does not know that it is local."""
    # Unlike an object store's, its folders can be half there, which pyarrow's view of it does not bear.
    (tmp_path / "objects" / "round" / "claims").mkdir(parents=True)

    def opened() -> Storage:
        storage = Storage(str(tmp_path / "objects"))
        storage.fs = pafs.PyFileSystem(pafs.FSSpecHandler(LocalFileSystem()))
        return storage

    return opened


@pytest.fixture(params=["local", "object_store", "s3"])
def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Storage]:
    """Opens the same storage each time it is called; of each kind in turn."""
    if request.param == "local":
        return lambda: Storage(str(tmp_path / "rounds"))
    opened: Callable[[], Storage] = request.getfixturevalue(request.param)
    return opened
