"""What a running round is asked to do, wherever its driver is; each request names the run that it is meant for.

::

    <storage>/<round>/requests/<request>.json      what is asked
                               <request>.answer    what the driver says to it
"""

from __future__ import annotations

import time
import uuid

from raytune_playbook.errors import InputError, StorageError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.driving.claims import ClaimRecord, current_claim, driving
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundState
from raytune_playbook.study.frozen import FrozenSpec

FOLDER, REQUEST, ANSWER = "requests", ".json", ".answer"

ANSWER_S = 15.0
"""A driver looks for requests every second while trials run; while it reads examples or starts workers it does not."""

POLL_S = 0.2


class StopRequest(FrozenSpec):
    """That a run of a round, or one of its trials, ends at the next evaluation.

    Fields:
        run: which run; no other obeys.
        trial: study and key, or None for the whole round.
    """

    run: str
    trial: tuple[str, str] | None = None


class Answer(FrozenSpec):
    """What a driver says to a request: a sentence, and whether it does what was asked."""

    obeys: bool
    sentence: str


def stop(name: str, *, storage: str = DEFAULT_STORAGE, trial: str | None = None, answer_s: float = ANSWER_S) -> str:
    """Ask the driver of a running round, wherever it is, to end the round or one trial at the next evaluation.

    Args:
        trial: ``"STUDY/INDEX"``, or ``"INDEX"`` where the round has one study.
        answer_s: how long to wait for its answer.

    Returns:
        The answer.

    Raises:
        InputError: there is no such round or trial, or it does not run.
    """
    store = RoundStore(Storage(storage), name)
    claim = current_claim(driving(store))
    if claim is None:
        store.round()  # says so where there is none of its name
        status = store.status()
        state = "not" if status is None else "cut off" if status.state is RoundState.RUNNING else status.state
        raise StorageError(f"A round must be running to be stopped, but {name!r} is {state}.")
    wanted = None if trial is None else store.trial_id(trial)
    request = f"{store.name}/{FOLDER}/{uuid.uuid4().hex}"
    store.storage.write(request + REQUEST, _content(StopRequest(run=claim.run, trial=wanted)))
    answer = _answer(store, request, claim, answer_s)
    if answer is None:
        return f"The driver ({claim.driver}) was asked, but has not answered yet; it does when its trials run."
    if not answer.obeys:
        raise StorageError(answer.sentence)
    return answer.sentence


def _answer(store: RoundStore, request: str, claim: ClaimRecord, answer_s: float) -> Answer | None:
    deadline_s = time.monotonic() + answer_s
    while time.monotonic() < deadline_s:
        now = current_claim(driving(store))  # before looking for the answer, which may be its last one
        content = store.storage.read(request + ANSWER)
        if content is not None:
            store.storage.delete(request + ANSWER)
            return Answer.from_json(content)
        if now is None or now.run != claim.run:
            store.storage.delete(request + REQUEST)
            raise StorageError(f"A round must be running to be stopped, but {store.name!r} has just ended.")
        time.sleep(POLL_S)
    return None


# ---------------------------------------------------------------------- the driver's side


def requests_to(store: RoundStore, run: str) -> dict[str, StopRequest]:
    """By their names, what a run is asked that it has not answered; what other runs were asked is deleted."""
    found = {}
    for file in store.storage.files(f"{store.name}/{FOLDER}"):
        content = store.storage.read(path := f"{store.name}/{FOLDER}/{file}") if file.endswith(REQUEST) else None
        if content is None:
            continue
        try:
            request = StopRequest.from_json(content)
        except InputError:  # half written, or none of ours
            continue
        if request.run == run:
            found[file.removesuffix(REQUEST)] = request
        else:
            store.storage.delete(path)
    return found


def answer(store: RoundStore, name: str, said: Answer) -> None:
    """Answer a request, which is deleted."""
    path = f"{store.name}/{FOLDER}/{name}"
    store.storage.write(path + ANSWER, _content(said))
    store.storage.delete(path + REQUEST)


def clear_requests(store: RoundStore) -> None:
    """Delete what earlier runs were asked and what they answered; whoever holds the claim may."""
    for file in store.storage.files(f"{store.name}/{FOLDER}"):
        if file.endswith((REQUEST, ANSWER)):  # and not what somebody writes just now
            store.storage.delete(f"{store.name}/{FOLDER}/{file}")


def _content(spec: StopRequest | Answer) -> bytes:
    return spec.model_dump_json(indent=2).encode()
