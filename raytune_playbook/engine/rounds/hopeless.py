"""What is left of a run that failed where no other try can mend it, for whoever looks at the round later."""

from __future__ import annotations

import contextlib

from raytune_playbook.engine.rounds.recorded import as_recorded
from raytune_playbook.errors import NOT_RETRIED, PlaybookError
from raytune_playbook.records.driving.claims import claimed, driving
from raytune_playbook.records.storage import Storage, first_line
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundState
from raytune_playbook.study.round import Round


def note_hopeless(round_: Round, storage: str, error: PlaybookError | None) -> None:
    """Write into a round's status that its last run failed for good; no word where it has no records.

    What cannot be written is left: the run has said the same. Another round that has its name, one that an earlier run
    has finished, and one that another process runs by now stay as they are.

    Args:
        error: why it failed; None for a round that has finished without a completed trial.
    """
    store = RoundStore(Storage(storage), round_.name)
    with contextlib.suppress(PlaybookError):
        as_recorded(store, round_)
        if not store.exists():
            return
        with claimed(driving(store), say=lambda _: None):
            status = store.status()
            is_finished = status is not None and status.state is RoundState.FINISHED
            if status is None or (is_finished and error is not None):  # an earlier run has finished it
                return
            ended = {RoundState.FAILED: status.reason, RoundState.FINISHED: "no trial completed"}
            reason = ended.get(status.state, "" if error is None else first_line(error).rstrip("."))
            state = RoundState.FINISHED if is_finished else RoundState.FAILED
            update = {"state": state, "reason": f"{reason}; {NOT_RETRIED}", "retry_helps": False}
            store.write_status(status.model_copy(update=update))
