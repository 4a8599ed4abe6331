"""A round has one driver at a time: whoever runs it holds a claim, from before it looks at the records to its end.

Claims are numbered files that are created if absent (`raytune_playbook.records.creation`), and the last one counts::

    <storage>/<round>/claims/000001.json

Its holder rewrites it again and again. A claim is over when it says so, when its process has ended, if that is to be
seen from here, and else when whoever wants the round has watched it for `Patience.lost_s` without a change. No clock is
read but the watcher's own steady one, so clocks that differ or jump don't matter. A holder that was only asleep for so
long finds a later claim when it wakes, and writes no record any more (DESIGN decision 10).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from raytune_playbook.errors import InputError, RunError, StorageError
from raytune_playbook.records.creation import create_if_absent
from raytune_playbook.records.driver_process import DriverProcess, this_process
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.frozen import FrozenSpec

FOLDER, SUFFIX = "claims", ".json"


@dataclass(frozen=True)
class Patience:
    """How often a holder gives a sign of life, and for how long it may give none."""

    beat_s: float = 5.0
    lost_s: float = 30.0


class ClaimRecord(FrozenSpec):
    """What a claim's file holds.

    Fields:
        run: names this run of the round, among all that there were or will be.
        beat: counts the holder's signs of life.
        is_over: its holder has let go of it.
    """

    run: str
    driver: DriverProcess
    beat: int = 0
    is_over: bool = False


class ClaimLostError(RunError):
    """Another driver has taken the round over; this one must not write its records any more."""


_held: set[str] = set()
"""The runs of this process: it lives on when they have ended, even where it could not write so."""


class Claim:
    """A claim that is held; made by `claimed`.

    Fields:
        store: the records of the round, which only its holder may write.
    """

    def __init__(self, store: RoundStore, number: int, record: ClaimRecord, patience: Patience) -> None:
        self.store, self._number, self._patience = store, number, patience
        self._record = record
        self._seen_at_s = _steady_s()
        self._is_lost = False
        self._writing = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="claim", daemon=True)
        _held.add(record.run)
        self._thread.start()

    @property
    def run(self) -> str:
        """The name of this run, which requests to it bear."""
        return self._record.run

    def require(self) -> None:
        """Check that the round is still this driver's; to be called before its records are written.

        Raises:
            ClaimLostError: it is not.
        """
        if not self._is_lost and _steady_s() - self._seen_at_s > self._patience.lost_s / 2:  # this process slept
            with contextlib.suppress(OSError):
                self._beat()
        if self._is_lost:
            raise ClaimLostError(
                f"The round stopped: another driver runs {self.store.name!r} since this one gave no sign of life for "
                f"{self._patience.lost_s:.0f} s; what was recorded until then is kept, and the other one goes on."
            )

    def let_go(self) -> None:
        """End it; whoever wants the round has it at once."""
        self._done.set()
        self._thread.join()
        _held.discard(self.run)
        if self._is_lost:
            return
        try:
            if self.store.exists():
                self._write(self._record.model_copy(update={"is_over": True}))
            else:  # nothing was begun, so nothing is left behind
                _remove(self.store, self._number)
        except OSError:  # a full disk, where deleting may still work; if not, the end of this process ends the claim
            with contextlib.suppress(OSError):
                self.store.storage.delete(_path(self.store, self._number))

    def _keep_alive(self) -> None:
        while not self._done.wait(self._patience.beat_s) and not self._is_lost:
            with contextlib.suppress(OSError):  # records cannot be written then either, and say so; see `require`
                self._beat()

    def _beat(self) -> None:
        with self._writing:
            _, record = _last(self.store)
            if record is None:  # the storage is away, or what was recorded is deleted
                return
            if record.run != self.run:
                self._is_lost = True
                return
            self._record = self._record.model_copy(update={"beat": self._record.beat + 1})
            self._write(self._record)
            self._seen_at_s = _steady_s()

    def _write(self, record: ClaimRecord) -> None:
        self.store.storage.write(_path(self.store, self._number), _content(record))


@contextlib.contextmanager
def claimed(store: RoundStore, *, say: Callable[[str], None], patience: Patience | None = None) -> Iterator[Claim]:
    """Hold the claim on a round within the block.

    Args:
        say: told when the wait for a sign of life of an earlier driver begins.

    Raises:
        StorageError: another driver runs the round, or the storage cannot be written.
    """
    try:
        claim = _claim(store, say, patience or Patience())
    except OSError as error:
        raise StorageError(
            f"Storage: the claim on a round is written there, but {store.uri!r} cannot be "
            f"({str(error).partition(chr(10))[0]}); make room, or give another with --storage."
        ) from None
    try:
        yield claim
    finally:
        claim.let_go()


def running_claim(store: RoundStore) -> ClaimRecord | None:
    """The claim on a round, unless it is known to be over; one of another machine may still turn out to be lost."""
    _, record = _last(store)
    return None if record is None or _is_over(record) else record


def _claim(store: RoundStore, say: Callable[[str], None], patience: Patience) -> Claim:
    mine = ClaimRecord(run=uuid.uuid4().hex, driver=this_process())
    while True:
        number, last = _last(store)
        if number and (last is None or not _is_over(last)) and not _is_lost(store, number, last, say, patience):
            continue
        if create_if_absent(store.storage, _path(store, number + 1), _content(mine), lost_s=patience.lost_s):
            for earlier in _numbers(store):
                if earlier < number + 1:
                    store.storage.delete(_path(store, earlier))
            return Claim(store, number + 1, mine, patience)


def _is_lost(
    store: RoundStore, number: int, last: ClaimRecord | None, say: Callable[[str], None], patience: Patience
) -> bool:
    """Watch a claim; False where it ended meanwhile, or another followed.

    Raises:
        StorageError: its driver lives.
    """
    if last is not None and last.driver.is_here():
        raise _refusal(store, last)
    if last is not None:
        say(f"Waiting for at most {patience.lost_s:.0f} s to see whether {last.driver} still runs {store.name!r} ...")
    began_s = _steady_s()
    while _steady_s() - began_s < patience.lost_s:
        time.sleep(min(1.0, patience.beat_s / 4))
        now_number, now = _last(store)
        if now_number != number or (now is not None and _is_over(now)):
            return False
        if now is not None and last is not None and now != last:
            raise _refusal(store, now)
        last = last or now  # at first it may have been half written
    return True


def _refusal(store: RoundStore, holder: ClaimRecord) -> StorageError:
    return StorageError(
        f"A round has one driver at a time, but {holder.driver} runs {store.name!r}; "
        f"wait for it, or end it with: {store.command('stop')}"
    )


def _is_over(record: ClaimRecord) -> bool:
    if record.is_over:
        return True
    driver = record.driver
    if not driver.is_here():
        return False
    return not driver.is_alive() or (driver == this_process() and record.run not in _held)


# ---------------------------------------------------------------------- files


def _last(store: RoundStore) -> tuple[int, ClaimRecord | None]:
    """The number of the last claim, 0 where there was none, and what it holds; None while it is being written."""
    while True:
        number = max(_numbers(store), default=0)
        content = store.storage.read(_path(store, number)) if number else b""
        if content is None:  # deleted meanwhile, since a later one followed or nothing was begun
            continue
        try:
            return number, ClaimRecord(**json.loads(content))
        except (ValueError, TypeError, InputError):
            return number, None


def _numbers(store: RoundStore) -> list[int]:
    names = (name.removesuffix(SUFFIX) for name in store.storage.files(f"{store.name}/{FOLDER}"))
    return [int(name) for name in names if name.isdigit()]


def _path(store: RoundStore, number: int) -> str:
    return f"{store.name}/{FOLDER}/{number:06d}{SUFFIX}"


def _content(record: ClaimRecord) -> bytes:
    return record.model_dump_json(indent=2).encode()


def _remove(store: RoundStore, number: int) -> None:
    """Delete the claim on a round that was never begun, and local folders that are empty then."""
    store.storage.delete(_path(store, number))
    if store.storage.local_path is not None:
        folder = store.storage.local_path / store.name
        with contextlib.suppress(OSError):  # not empty
            (folder / FOLDER).rmdir()
            folder.rmdir()


def _steady_s() -> float:
    """Seconds that no clock's jump changes and, where the system has such, that go on while it sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
