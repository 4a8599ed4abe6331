"""Which failures are tried again, and how often."""

from __future__ import annotations

import errno
import os
import random

import pytest

from raytune_playbook.records import retries
from raytune_playbook.records.retries import NUM_TRIES, passes, tried


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.0)


class Failing:
    """Fails so many times, then returns."""

    def __init__(self, error: BaseException, num_times: int) -> None:
        self.error, self.num_left, self.num_calls = error, num_times, 0

    def __call__(self) -> str:
        self.num_calls += 1
        if self.num_left:
            self.num_left -= 1
            raise self.error
        return "done"


def of_number(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.ECONNRESET])
def test_what_passes_is_tried_again_and_not_for_ever(number):
    call = Failing(of_number(number), NUM_TRIES - 1)
    assert (tried(call), call.num_calls) == ("done", NUM_TRIES)
    call = Failing(of_number(number), 99)
    with pytest.raises(OSError, match=os.strerror(number)):
        tried(call)
    assert call.num_calls == NUM_TRIES


@pytest.mark.parametrize(
    "error",
    [
        *map(of_number, (errno.EACCES, errno.ENOENT, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR)),
        OSError("When uploading part: AWS Error ACCESS_DENIED during UploadPart operation: no"),
        OSError("When getting information: AWS Error UNKNOWN (HTTP status 403) during HeadObject operation"),
        OSError("Path does not exist 'bucket/x'"),
        ValueError("timed out"),
    ],
)
def test_what_somebody_has_to_mend_is_told_at_once(error):
    call = Failing(error, 99)
    with pytest.raises(type(error)):
        tried(call)
    assert call.num_calls == 1


@pytest.mark.parametrize(
    "text",
    [
        "AWS Error SLOW_DOWN during UploadPart operation: Please reduce your request rate.",
        "AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: No response body.",
        "AWS Error NETWORK_CONNECTION during HeadBucket operation: curlCode: 52, Server returned nothing",
        "AWS Error UNKNOWN during GetObject operation: curlCode: 28, Timeout was reached",
        "AWS Error INTERNAL_FAILURE during PutObject operation: We encountered an internal error",
        "google::cloud::Status(UNAVAILABLE: retry policy exhausted)",
    ],
)
def test_what_object_stores_say_passes(text):
    assert passes(OSError(text))


def test_waiting_leaves_the_random_numbers_of_training_alone():
    before = random.getstate()
    tried(Failing(of_number(errno.EIO), 3))
    assert random.getstate() == before
