"""Whether the cluster is lost, and who says so.

A driver whose node goes away hears of it in many ways: an actor that never ran, a task whose owner has died, a
connection that broke. What is raised while the cluster takes no connection is told as what it is.

Often nothing is raised at all: Ray ends the process of a driver at once when the object store of its node is gone, and
60 s after its cluster's controller is. So a second process, which Ray knows nothing of, waits for the driver's end.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import ray
import ray.exceptions

CONNECT_S = 2.0
DIES_WITHIN_S = 3.0
"""A process that has let an actor die may itself take this long."""

_WAITS = 'trap "" INT TERM HUP; read -r line || printf "%s\\n" "$1" >&2'


@dataclass(frozen=True)
class ClusterAddress:
    """Where the cluster that this process is connected to takes connections.

    Fields:
        controller: of the whole cluster (Ray's GCS).
        node: of the node that this process is on (its raylet).
    """

    controller: tuple[str, int]
    node: tuple[str, int]

    @classmethod
    def connected(cls) -> ClusterAddress:
        """Of the cluster that this process is connected to now."""
        context = ray.get_runtime_context()
        host, _, port = context.gcs_address.rpartition(":")
        own = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
        return cls((host.strip("[]"), int(port)), (own["NodeManagerAddress"], own["NodeManagerPort"]))

    def lost(self) -> str | None:
        """What of it takes no connection, in words; None where all does."""
        for what, place in (("its controller", self.controller), ("this machine's node", self.node)):
            try:
                socket.create_connection(place, timeout=CONNECT_S).close()
            except OSError:
                return f"{what} at {place[0]}:{place[1]} takes no connection"
        return None

    def lost_with(self, error: BaseException) -> str | None:
        """The same when something was raised; where Ray did, a process that is dying gets the time for it."""
        deadline_s = time.monotonic() + (DIES_WITHIN_S if _is_of_ray(error) else 0.0)
        while (what := self.lost()) is None and time.monotonic() < deadline_s:
            time.sleep(0.2)
        return what


def driver_gone(doing: str, then: str) -> str:
    """What there is to say of a driver that ended without a word, such as ``"ran 'digits'"``."""
    return (
        f"The process that {doing} ended all at once: Ray ends it where its cluster is lost, and the system where "
        f"memory runs out. {then}"
    )


@contextlib.contextmanager
def told_if_killed(sentence: str) -> Iterator[None]:
    """Within it a process of its own prints the sentence to stderr when this process ends all at once."""
    waiting = subprocess.Popen(
        ["/bin/sh", "-c", _WAITS, "sh", sentence],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is gone
            waiting.communicate(b"done\n")


def _is_of_ray(error: BaseException | None) -> bool:
    """Whether Ray raised it, or what it was made of."""
    while error is not None:
        if isinstance(error, ray.exceptions.RayError):
            return True
        error = error.__cause__ or error.__context__
    return False
