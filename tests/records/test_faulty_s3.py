"""A storage on S3 behind a proxy that refuses, drops, loses and delays requests."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator

import pyarrow.fs as pafs
import pytest

from raytune_playbook.errors import StorageFailure
from raytune_playbook.records import retries
from raytune_playbook.records.driving.claims import claimed, driving
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from tests.faults.faulty_proxy import FaultyProxy, by_share

PARTS = 25 * 2**20
"""Bytes of a file that is uploaded in several parts, of 10 MiB each."""


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_endpoint.removeprefix("http://")) as running:
        yield running


@pytest.fixture
def through(proxy: FaultyProxy, s3: Callable[[], Storage], monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A storage in an empty bucket, through the proxy: its address, like the keys, is in the environment alone."""
    uri = s3().uri
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    return Storage(uri)


def test_a_share_of_requests_that_fail_costs_no_file_and_spoils_none(proxy, through):
    proxy.fault = by_share(seed=0, share=0.3)
    contents = {f"r/{number}": os.urandom(1000 * number) for number in range(6)} | {"r/large": os.urandom(PARTS)}
    for path, content in contents.items():
        through.write(path, content)
    assert {path: through.read(path) for path in contents} == contents
    assert through.sizes("r") == {path[2:]: len(content) for path, content in sorted(contents.items())}
    through.delete("r/1")
    through.delete_folder("r")
    assert through.files("r") == []
    assert {type(fault).__name__ if isinstance(fault, float) else fault for *_, fault in proxy.asked} == {
        *(None, "refuse", "drop", "lose", "float")
    }


def test_a_file_of_which_a_part_is_refused_is_not_there_and_an_older_one_stays(proxy, through, monkeypatch):
    monkeypatch.setattr(retries, "NUM_TRIES", 2)
    through.write("r/model.pt", b"old")
    proxy.fault = lambda _, path: "refuse" if "partNumber=2" in path else None
    for path in ("r/model.pt", "r/new.pt"):
        with pytest.raises(StorageFailure, match=r"cannot be written \(.*SLOW_DOWN.*, again and again\); see that it"):
            through.write(path, bytes(PARTS))
    proxy.fault = lambda *_: None
    assert (through.read("r/model.pt"), through.read("r/new.pt")) == (b"old", None)
    assert through.files("r") == ["model.pt"]
    content = os.urandom(PARTS)
    through.write("r/new.pt", content)
    assert hashlib.sha256(through.read("r/new.pt") or b"").digest() == hashlib.sha256(content).digest()
    assert sum("partNumber=3" in path for _, path, _ in proxy.asked) >= 3  # it came in parts


def test_a_large_file_is_read_by_few_requests(proxy, through):
    through.write("r/model.pt", bytes(PARTS))
    proxy.asked.clear()
    through.read("r/model.pt")
    assert len(proxy.asked) <= 3


def test_an_answer_that_takes_longer_than_pyarrow_waits_by_itself_is_waited_for(proxy, through):
    through.write("r/x", b"1")
    proxy.asked.clear()
    proxy.fault = lambda *_: 4.0
    assert through.fs.get_file_info(f"{through.root}/r/x").type == pafs.FileType.File
    assert len(proxy.asked) == 1


def test_a_claim_is_held_by_one_driver_whatever_share_of_requests_fails(proxy, through):
    proxy.fault = by_share(seed=1, share=0.2)
    store = RoundStore(through, f"round-{uuid.uuid4().hex[:8]}")
    with claimed(driving(store), say=print) as claim:
        claim.require()
        with pytest.raises(Exception, match="one driver at a time"), claimed(driving(store), say=print):
            pass
    with claimed(driving(store), say=print):
        pass
