"""Whether a worker reaches the storage of its round: what counts is the driver's claim."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from raytune_playbook.engine.gang import reach
from raytune_playbook.engine.gang.reach import not_reached, require_reached
from raytune_playbook.errors import StorageFailure
from raytune_playbook.records.driving.claims import Claim, claimed, driving
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore


@pytest.fixture
def store(tmp_path: Path) -> RoundStore:
    return RoundStore(Storage(str(tmp_path / "rounds")), "round")


@pytest.fixture
def claim(store: RoundStore) -> Iterator[Claim]:
    with claimed(driving(store), say=print) as held:
        yield held


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "PATIENCE_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_the_drivers_claim_is_looked_for_once(store, claim):
    require_reached(store.uri, claim.file, claim.run)
    Path(store.uri, claim.file).unlink()
    require_reached(store.uri, claim.file, claim.run)
    assert not_reached(store.uri, claim.file, claim.run)


@pytest.mark.usefixtures("impatient")
def test_another_folder_of_the_same_path_is_refused_with_the_hosts_name_and_looked_at_again(store, claim):
    driver, here = Path(store.uri), Path(f"{store.uri}-of-the-driver")
    driver.rename(here)
    try:
        sentence = f"{socket.gethostname()} does not reach '{store.uri}' (what the driver wrote is not to be seen"
        for _ in range(2):
            with pytest.raises(StorageFailure) as refused:
                require_reached(store.uri, claim.file, claim.run)
            assert sentence in str(refused.value)
        assert not driver.exists()
        (driver / "claims").mkdir(parents=True)
        (driver / claim.file).write_text('{"run": "another"}')  # of a round of that name, at another time
        with pytest.raises(StorageFailure):
            require_reached(store.uri, claim.file, claim.run)
        (driver / claim.file).unlink()
        (driver / "claims").rmdir()
        driver.rmdir()
    finally:
        here.rename(driver)
    require_reached(store.uri, claim.file, claim.run)


def test_what_shows_a_little_later_is_waited_for(store, claim):
    file = Path(store.uri, claim.file)
    hidden = file.rename(file.with_suffix(".not-yet"))
    showing = threading.Timer(1.0, hidden.rename, [file])
    showing.start()
    require_reached(store.uri, claim.file, claim.run)
    showing.join()


@pytest.mark.usefixtures("impatient")
def test_a_storage_that_this_host_cannot_open_is_refused_with_the_reason(monkeypatch):
    environment = {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1"}
    for name, value in (environment | {"ENDPOINT_URL": "http://127.0.0.1:1"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(StorageFailure, match=r"does not reach 's3://bucket/rounds/round' \(When reading information"):
        require_reached("s3://bucket/rounds/round", "claims/000001.json", "run")


def test_what_is_not_recorded_needs_no_storage():
    require_reached("", "", "run")
