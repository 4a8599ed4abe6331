"""Questions to actors: how a handle's methods are typed, and answers with a deadline."""

from __future__ import annotations

from typing import ParamSpec, Protocol, TypeVar, cast

import ray
from ray.actor import ActorHandle

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class RemoteMethod(Protocol[Parameters, Answer]):
    """A method of an actor as its handle has it, which Ray makes at run time.

    A `Protocol` with one of these for each method is the type of the handle to an actor of ours.
    """

    def remote(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> ray.ObjectRef[Answer]:
        """Call it on the actor."""


def answer_of(call: ray.ObjectRef[Answer], *, timeout_s: float) -> Answer:
    """What a remote call returned.

    Raises:
        ray.exceptions.GetTimeoutError: it has not returned within ``timeout_s``.
        ray.exceptions.RayError: the actor is gone, or its method raised.
    """
    return ray.get(call, timeout=timeout_s)


def kill_actor(handle: object) -> None:
    """End an actor at once, with all that it owns.

    Args:
        handle: to an actor, whatever methods it is typed to have.
    """
    ray.kill(cast("ActorHandle[object]", handle))
