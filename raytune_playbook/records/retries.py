"""Which failures of a storage pass by themselves, and trying again until they have."""

from __future__ import annotations

import errno
import random
import re
from collections.abc import Callable
from typing import TypeVar

import pyarrow.fs as pafs
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_before_delay

NUM_TRIES, MOST_S = 6, 30.0
FIRST_WAIT_S, GROWTH, MOST_WAIT_S = 0.1, 3.0, 5.0
"""The waits are 9 s in all at most, and no try begins after `MOST_S`: the other workers of a gang wait in a collective
meanwhile. A longer outage ends the round, to be resumed."""

NUM_REQUESTS, ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S = 3, 10.0, 5.0
"""Of S3, whose files take several requests each: each request is tried so often, for so long."""

_PASSING = frozenset(
    {
        *(errno.EIO, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ESTALE, errno.EREMOTEIO, errno.ENOLINK),
        *(errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET),
    }
)
"""Of disks, mounts and networks. Not among them are a full disk, a quota, a read-only disk and a missing permission:
somebody has to mend these, so that waiting only hides them."""

_PASSING_TEXT = re.compile(
    r"AWS Error (INTERNAL_FAILURE|SERVICE_UNAVAILABLE|THROTTLING|SLOW_DOWN|REQUEST_TIMEOUT|NETWORK_CONNECTION)"
    r"|\b(HTTP status|HTTP code|status code|curlCode)\b:? ?(408|429|5\d\d|7|28|52|55|56)\b"
    r"|\b(UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED)\b|timed out|[Tt]oo [Mm]any [Rr]equests",
)
"""What object stores' errors say, which have no number."""

_RANDOM = random.SystemRandom()
"""Waits differ from worker to worker, and a trial's own random numbers stay what they are."""

_Result = TypeVar("_Result")


def passes(error: BaseException) -> bool:
    """Whether the same may succeed a little later, though nobody mends anything."""
    if not isinstance(error, OSError):
        return False
    return error.errno in _PASSING if error.errno is not None else _PASSING_TEXT.search(str(error)) is not None


def tried(call: Callable[[], _Result]) -> _Result:
    """Call until it returns, or fails in a way that does not pass, `NUM_TRIES` times at most.

    Args:
        call: may be called again after it was cut off anywhere.

    Raises:
        OSError: what the last call raised.
    """
    stop = stop_after_attempt(NUM_TRIES) | stop_before_delay(MOST_S)
    return Retrying(retry=retry_if_exception(passes), stop=stop, wait=_wait_s, reraise=True)(call)


def patient(fs: pafs.FileSystem) -> pafs.FileSystem:
    """The same filesystem, which waits for slow answers; pyarrow's own gives S3 3 s, and tries 30 times in a row."""
    if not isinstance(fs, pafs.S3FileSystem):
        return fs
    _, (options,) = fs.__reduce__()  # all that a URI and the environment have said
    return pafs.S3FileSystem(
        **options
        | {
            "retry_strategy": pafs.AwsStandardS3RetryStrategy(max_attempts=NUM_REQUESTS),
            "request_timeout": ANSWER_TIMEOUT_S,
            "connect_timeout": CONNECT_TIMEOUT_S,
        }
    )


def _wait_s(state: RetryCallState) -> float:
    """Three times as long each time, of which a random half."""
    most_s = min(MOST_WAIT_S, FIRST_WAIT_S * GROWTH ** (state.attempt_number - 1))
    return most_s * _RANDOM.uniform(0.5, 1.0)
