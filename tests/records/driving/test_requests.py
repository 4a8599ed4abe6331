"""What a running round is asked: by whom, and of which run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from raytune_playbook.errors import StorageError
from raytune_playbook.records.driving.claims import claimed, driving
from raytune_playbook.records.driving.requests import Answer, StopRequest, answer, clear_requests, requests_to, stop
from raytune_playbook.records.store import RoundStore
from tests.waiting import wait_for

OBEYS = Answer(obeys=True, sentence="It ends.")


@contextlib.contextmanager
def running(store: RoundStore) -> Iterator[str]:
    with claimed(driving(store), say=lambda _: None) as claim:
        yield claim.run


def answered(store: RoundStore, run: str, said: Answer, num: int = 1) -> list[StopRequest]:
    """Answers the next requests as a driver does; returns them."""
    wait_for(lambda: len(requests_to(store, run)) == num)
    found = requests_to(store, run)
    for name in found:
        answer(store, name, said)
    return list(found.values())


def test_who_asks_hears_the_drivers_answer(created):
    storage = created.storage.uri
    with running(created) as run, ThreadPoolExecutor() as threads:
        asked = [threads.submit(stop, "round", storage=storage, trial=trial) for trial in (None, "activation=relu/3")]
        found = answered(created, run, OBEYS, num=2)
        assert [each.result() for each in asked] == ["It ends."] * 2
        assert {request.trial for request in found} == {None, ("activation=relu", "00003")}
        asked = threads.submit(stop, "round", storage=storage)
        answered(created, run, Answer(obeys=False, sentence="It has ended."))
        with pytest.raises(StorageError, match=r"^It has ended\.$"):
            asked.result()
    assert created.storage.files("round/requests") == []


def test_a_request_is_for_one_run_and_no_other_obeys_it(created):
    storage = created.storage.uri
    with running(created):
        assert "has not answered yet" in stop("round", storage=storage, answer_s=0)  # and then this run is cut off
    with running(created) as later:
        assert requests_to(created, later) == {}
        assert created.storage.files("round/requests") == []
    with ThreadPoolExecutor() as threads, running(created):
        stop("round", storage=storage, answer_s=0)
        asked = threads.submit(stop, "round", storage=storage)
        wait_for(lambda: sum(file.endswith(".json") for file in created.storage.files("round/requests")) == 2)
        clear_requests(created)
        assert created.storage.files("round/requests") == []
    with pytest.raises(StorageError, match="'round' has just ended"):
        asked.result()


def test_what_does_not_run_cannot_be_stopped(created, store):
    storage = created.storage.uri
    with pytest.raises(StorageError, match="must be running to be stopped, but 'round' is not"):
        stop("round", storage=storage)
    with pytest.raises(StorageError, match="must be in the storage"):
        stop("other", storage=storage)


@pytest.mark.parametrize(
    ("trial", "sentence"),
    [
        ("3", "STUDY/INDEX, but got '3'; the round's studies are activation=relu, activation=tanh"),
        ("nothing/1", "STUDY/INDEX, but got 'nothing/1'"),
        ("activation=relu/x", "INDEX is a number, but got 'activation=relu/x'"),
        ("activation=relu/4", "numbered from 0, and 'activation=relu' has 4"),
    ],
)
def test_a_trial_that_cannot_be_is_refused(created, trial, sentence):
    with running(created), pytest.raises(StorageError) as refused:
        stop("round", storage=created.storage.uri, trial=trial)
    assert sentence in str(refused.value)
    assert created.storage.files("round/requests") == []
