"""Whether a worker reaches the storage of its round: it sees the claim that the driver holds there."""

from __future__ import annotations

import functools
import socket
import time

from raytune_playbook.errors import StorageError, StorageFailure
from raytune_playbook.records.storage import Storage

PATIENCE_S = 10.0
"""Within this a folder that machines share shows to one what another has written."""

EVERY_S = 0.5


def not_reached(uri: str, claim: str, run: str) -> str | None:
    """A sentence where a round's storage cannot be read from here, or is another folder of the same path.

    Args:
        uri: of the round's folder.
        claim: the driver's claim in that folder.
        run: the name that stands in it.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    while (why := _why_not(uri, claim, run)) is not None:
        if time.monotonic() > deadline_s:
            return (
                f"Storage: all workers read and write the round's, but {socket.gethostname()} does not reach "
                f"{uri!r} ({why}); name a folder that all machines share, or an object store, with --storage."
            )
        time.sleep(EVERY_S)
    return None


@functools.lru_cache(maxsize=4)
def require_reached(uri: str, claim: str, run: str) -> None:
    """Look whether this worker reaches a storage, and no more once it has.

    Args:
        uri, claim, run: as for `not_reached`; where the first one is empty there is nothing to reach.

    Raises:
        StorageFailure: it does not.
    """
    if uri and (sentence := not_reached(uri, claim, run)) is not None:
        raise StorageFailure(sentence)


def _why_not(uri: str, claim: str, run: str) -> str | None:
    try:
        content = Storage(uri).read(claim)
    except (StorageError, StorageFailure) as error:
        return str(error.__cause__ or error).partition("\n")[0][:200]  # of a failure, what the storage was told
    return None if content is not None and run.encode() in content else "what the driver wrote is not to be seen there"
