"""What one process at a time may do, such as running a round, from before it looks at the records to its end.

Claims are numbered files that are created if absent (`raytune_playbook.records.creation`), and the last one counts::

    <storage>/<round>/claims/000001.json

Its holder rewrites it again and again. A claim is over when it says so, when its process has ended, if that is to be
seen from here, and else when whoever wants the round has watched it for `Patience.lost_s` without a change. No clock is
read but the watcher's own steady one, so clocks that differ or jump don't matter. A holder that was only asleep for so
long finds a later claim when it wakes, and writes no record any more (DESIGN decision 10).
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raytune_playbook.errors import InputError, RunError, StorageAwayError, StorageError
from raytune_playbook.records.creation import create_if_absent
from raytune_playbook.records.driving.driver_process import DriverProcess, this_process
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.frozen import FrozenSpec

FOLDER, SUFFIX = "claims", ".json"


@dataclass(frozen=True)
class Patience:
    """How often a holder gives a sign of life, and for how long it may give none."""

    beat_s: float = 5.0
    lost_s: float = 30.0


@dataclass(frozen=True)
class Subject:
    """What one process at a time may do.

    Fields:
        folder: within the storage, whose folder ``claims`` has the claims.
        rule, doing, advice: the refusal's sentence: "A round has one driver at a time, but host:1 runs 'line'; wait".
        is_begun: whether anything is there that the claims should stay beside.
    """

    storage: Storage
    folder: str
    rule: str
    doing: str
    advice: str
    is_begun: Callable[[], bool]


def driving(store: RoundStore) -> Subject:
    """Driving a round: running it, and writing its records."""
    return Subject(
        store.storage,
        store.name,
        rule="A round has one driver at a time",
        doing=f"runs {store.name!r}",
        advice=f"wait for it, or end it with: {store.command('stop')}",
        is_begun=store.exists,
    )


class ClaimRecord(FrozenSpec):
    """What a claim's file holds.

    Fields:
        run: names what this claim is for, among all that there were or will be.
        beat: counts the holder's signs of life.
        is_over: its holder has let go of it.
    """

    run: str
    driver: DriverProcess
    beat: int = 0
    is_over: bool = False


class ClaimLostError(RunError):
    """Another process has taken over; this one must not write any more."""

    retry_helps = False


_held: set[str] = set()
"""The runs of this process: it lives on when they have ended, even where it could not write so."""


class Claim:
    """A claim that is held; made by `claimed`."""

    def __init__(self, subject: Subject, number: int, record: ClaimRecord, patience: Patience) -> None:
        self._subject, self._number, self._patience = subject, number, patience
        self.made: Sequence[Path] = ()  # folders that were not there before it
        self._record = record
        self._seen_at_s = _steady_s()
        self._is_lost = False
        self._writing = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="claim", daemon=True)
        self._thread.start()

    @property
    def run(self) -> str:
        """The name of this run, which requests to it bear."""
        return self._record.run

    @property
    def file(self) -> str:
        """Its path in the folder of what is claimed; the name of this run stands in it."""
        return _file(self._number)

    def require(self) -> None:
        """Check that it is still held; to be called before records are written.

        Raises:
            ClaimLostError: it is not.
        """
        if not self._is_lost and _steady_s() - self._seen_at_s > self._patience.lost_s / 2:  # this process slept
            with contextlib.suppress(OSError):
                self._beat()
        if self._is_lost:
            raise ClaimLostError(
                f"{self._subject.rule}, but another {self._subject.doing} since this one gave no sign of life for "
                f"{self._patience.lost_s:.0f} s; what was recorded until then is kept, and the other one goes on."
            )

    def let_go(self) -> None:
        """End it; whoever wants the round has it at once."""
        self._done.set()
        self._thread.join()
        if self._is_lost:
            return
        try:
            if self._subject.is_begun():
                self._write(self._record.model_copy(update={"is_over": True}))
            else:  # nothing was begun, so nothing is left behind
                _remove(self._subject, self._number, self.made)
        except OSError:  # a full disk, where deleting may still work; if not, the end of this process ends the claim
            with contextlib.suppress(OSError):
                self._subject.storage.delete(_path(self._subject, self._number))

    def _keep_alive(self) -> None:
        while not self._done.wait(self._patience.beat_s) and not self._is_lost:
            with contextlib.suppress(OSError):  # records cannot be written then either, and say so; see `require`
                self._beat()

    def _beat(self) -> None:
        with self._writing:
            looked_at_s = _steady_s()
            _, record = _last(self._subject)
            if record is None:  # the storage is away, or what was recorded is deleted
                return
            if record.run != self.run:
                self._is_lost = True
                self._withdraw()
                return
            self._record = self._record.model_copy(update={"beat": self._record.beat + 1})
            self._write(self._record)
            self._seen_at_s = looked_at_s  # writing may have been tried for long, and another may have followed since

    def _withdraw(self) -> None:
        """Delete what a beat wrote that had begun before this process slept, when the claim was another's already."""
        with contextlib.suppress(FileNotFoundError):
            own = _at(self._subject, self._number)
            if own is not None and own.run == self.run:
                self._subject.storage.delete(_path(self._subject, self._number))

    def _write(self, record: ClaimRecord) -> None:
        self._subject.storage.write(_path(self._subject, self._number), _content(record))


@contextlib.contextmanager
def claimed(subject: Subject, *, say: Callable[[str], None], patience: Patience | None = None) -> Iterator[Claim]:
    """Hold the claim on something within the block.

    Args:
        say: told when the wait for a sign of life of an earlier driver begins.

    Raises:
        StorageError: another process holds it, or the storage cannot be written.
    """
    mine = ClaimRecord(run=uuid.uuid4().hex, driver=this_process())
    missing = subject.storage.missing_folders()
    _held.add(mine.run)  # before others can see it, who would take it for one that is over
    try:
        claim = _written(subject, mine, say, patience or Patience())
        claim.made = missing
        try:
            yield claim
        finally:
            claim.let_go()
    finally:
        _held.discard(mine.run)


def _written(subject: Subject, mine: ClaimRecord, say: Callable[[str], None], patience: Patience) -> Claim:
    try:
        return _claim(subject, mine, say, patience)
    except OSError as error:
        raise StorageAwayError(
            f"Storage: who works on it is written there, but {subject.storage.uri!r} cannot be "
            f"({str(error.__cause__ or error).partition(chr(10))[0]}); make room, or give another with --storage."
        ) from None


def current_claim(subject: Subject) -> ClaimRecord | None:
    """The claim that counts, unless it is known to be over; one of another machine may still turn out to be lost."""
    _, record = _last(subject)
    return None if record is None or _is_over(record) else record


def _claim(subject: Subject, mine: ClaimRecord, say: Callable[[str], None], patience: Patience) -> Claim:
    while True:
        number, last = _last(subject)
        if number and (last is None or not _is_over(last)) and not _is_lost(subject, number, last, say, patience):
            continue
        if not create_if_absent(subject.storage, _path(subject, number + 1), _content(mine), lost_s=patience.lost_s):
            continue
        # Others may have come and gone since the look, and have begun to count anew.
        if max(_numbers(subject), default=0) != number + 1 or not _is_still(subject, number, last):
            subject.storage.delete(_path(subject, number + 1))
            continue
        for earlier in _numbers(subject):
            if earlier <= number:
                subject.storage.delete(_path(subject, earlier))
        return Claim(subject, number + 1, mine, patience)


def _is_still(subject: Subject, number: int, seen: ClaimRecord | None) -> bool:
    """Whether a claim that was seen to be over, or lost, is still there as it was; so is none where there was none."""
    try:
        return number == 0 or _at(subject, number) == seen
    except FileNotFoundError:
        return False


def _is_lost(
    subject: Subject, number: int, last: ClaimRecord | None, say: Callable[[str], None], patience: Patience
) -> bool:
    """Watch a claim; False where it ended meanwhile, or another followed.

    Raises:
        StorageError: its driver lives.
    """
    if last is not None and last.driver.is_here():
        raise _refusal(subject, last)
    if last is not None:
        say(f"Waiting for at most {patience.lost_s:.0f} s to see whether {last.driver} still {subject.doing} ...")
    began_s = _steady_s()
    while _steady_s() - began_s < patience.lost_s:
        time.sleep(min(1.0, patience.beat_s / 4))
        now_number, now = _last(subject)
        if now_number != number or (now is not None and _is_over(now)):
            return False
        if now is not None and last is not None and now != last:
            raise _refusal(subject, now)
        last = last or now  # at first it may have been half written
    return True


def _refusal(subject: Subject, holder: ClaimRecord) -> StorageError:
    return StorageError(f"{subject.rule}, but {holder.driver} {subject.doing}; {subject.advice}")


def _is_over(record: ClaimRecord) -> bool:
    if record.is_over:
        return True
    driver = record.driver
    if not driver.is_here():
        return False
    return not driver.is_alive() or (driver == this_process() and record.run not in _held)


# ---------------------------------------------------------------------- files


def _last(subject: Subject) -> tuple[int, ClaimRecord | None]:
    """The number of the last claim, 0 where there was none, and what it holds; None while it is being written."""
    while True:
        number = max(_numbers(subject), default=0)
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile, as a later one followed or nothing was begun
            return number, _at(subject, number) if number else None


def _at(subject: Subject, number: int) -> ClaimRecord | None:
    """What a claim holds; None while it is being written.

    Raises:
        FileNotFoundError: there is no claim of this number.
    """
    content = subject.storage.read(_path(subject, number))
    if content is None:
        raise FileNotFoundError(_path(subject, number))
    try:
        return ClaimRecord.from_json(content)
    except InputError:
        return None


def _numbers(subject: Subject) -> list[int]:
    names = (name.removesuffix(SUFFIX) for name in subject.storage.files(f"{subject.folder}/{FOLDER}"))
    return [int(name) for name in names if name.isdigit()]


def _path(subject: Subject, number: int) -> str:
    return f"{subject.folder}/{_file(number)}"


def _file(number: int) -> str:
    return f"{FOLDER}/{number:06d}{SUFFIX}"


def _content(record: ClaimRecord) -> bytes:
    return record.model_dump_json(indent=2).encode()


def _remove(subject: Subject, number: int, made: Sequence[Path]) -> None:
    """Delete the claim on what was never begun, and local folders that are empty then."""
    subject.storage.delete(_path(subject, number))
    if subject.storage.local_path is not None:
        folder = subject.storage.local_path / subject.folder
        with contextlib.suppress(OSError):  # not empty
            for each in (folder / FOLDER, folder, *made):
                each.rmdir()


def _steady_s() -> float:
    """Seconds that no clock's jump changes and, where the system has such, that go on while it sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
