"""How a round stands, as its status says it."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass

from raytune_playbook.engine.driver.recorder import Tally
from raytune_playbook.records.types import RoundState, RoundStatus


@dataclass(frozen=True)
class Standing:
    """How a round stands, and why in a sentence; whether running a failed one again as it is may succeed."""

    state: RoundState
    reason: str = ""
    retry_helps: bool = True


def finished(tally: Tally) -> RoundStatus:
    """The status of a round all of whose trials have ended."""
    return status_of(tally, Standing(RoundState.FINISHED))


def status_of(tally: Tally, now: Standing) -> RoundStatus:
    """The status that this process writes."""
    return RoundStatus(
        state=now.state,
        reason=now.reason,
        retry_helps=now.retry_helps,
        driver=f"{socket.gethostname()}:{os.getpid()}",
        seen_at_s=time.time(),
        num_done=tally.num(),
        num_trials=tally.num_trials,
    )
