"""Ray's actors and tasks as static types see them, and what they raise as sentences of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ParamSpec, Protocol, TypeVar

import ray
import ray.exceptions

from raytune_playbook.errors import PlaybookError, RunError

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class RemoteMethod(Protocol[Parameters, Answer]):
    """A method of an actor as its handle has it, which Ray makes at run time.

    A `Protocol` with one of these for each method is the type of the handle to an actor of ours.
    """

    def remote(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> ray.ObjectRef[Answer]:
        """Call it on the actor, and wait for nothing."""


def answer(pending: ray.ObjectRef[Answer], timeout_s: float | None = None) -> Answer:
    """What an actor or a task answers.

    Raises:
        PlaybookError: it raised, or did not answer in time.
    """
    return answers([pending], timeout_s)[0]


def answers(pending: Sequence[ray.ObjectRef[Answer]], timeout_s: float | None = None) -> list[Answer]:
    """What several answer; the same for each."""
    try:
        return ray.get(list(pending), timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        raise RunError(f"The input pipeline did not answer for {timeout_s:.0f} s.") from None
    except ray.exceptions.RayError as error:
        raise as_playbook_error(error) from None


def answer_or_error(pending: ray.ObjectRef[Answer | PlaybookError]) -> Answer:
    """What an actor answers that returns errors of ours, lest Ray wrap them.

    Raises:
        PlaybookError: it answered with one, or raised.
    """
    answered = answer(pending)
    if isinstance(answered, PlaybookError):
        raise answered
    return answered


def as_playbook_error(error: BaseException) -> PlaybookError:
    """What a task raised, as a sentence of ours."""
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None)
        for each in (cause, seen):
            if isinstance(each, PlaybookError):
                return type(each)(str(each).partition("\n")[0])  # Ray Data adds lines about its retries
        seen = cause if isinstance(cause, BaseException) else seen.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return RunError(f"The input pipeline failed: {lines[-1] if lines else type(error).__name__}.")
