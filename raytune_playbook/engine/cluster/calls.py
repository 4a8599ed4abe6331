"""Questions to actors: every wait has a deadline, and every answer the type that was expected."""

from __future__ import annotations

from typing import TypeVar, cast

import ray

Answer = TypeVar("Answer")


def ask(kind: type[Answer], question: object, *, timeout_s: float) -> Answer:
    """The answer to a remote call.

    Args:
        kind: its type; ``type(None)`` for a call that returns nothing.
        question: what ``actor.method.remote(...)`` returned.

    Raises:
        ray.exceptions.GetTimeoutError: no answer within ``timeout_s``.
        ray.exceptions.RayError: the actor is gone, or its method raised.
        TypeError: the answer is of another type.
    """
    answer: object = ray.get(cast("ray.ObjectRef[object]", question), timeout=timeout_s)
    if not isinstance(answer, kind):
        raise TypeError(f"expected {kind.__name__} from an actor, but got {answer!r}")
    return answer
