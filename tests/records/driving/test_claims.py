"""A round's claim: held by one driver at a time, and neither by a dead one nor by one that was taken over from."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raytune_playbook.errors import StorageError
from raytune_playbook.records.driving.claims import Claim, ClaimLostError, Patience, claimed, current_claim, driving
from raytune_playbook.records.driving.driver_process import DriverProcess
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore

PATIENT = Patience(beat_s=0.1, lost_s=200)
"""Of a test that fails where it would have to wait for an earlier driver."""

HOLDER = """
import sys
import time
from raytune_playbook.records.driving.claims import ClaimLostError, Patience, claimed, driving
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
round_ = driving(RoundStore(Storage(sys.argv[1]), "round"))
with claimed(round_, say=print, patience=Patience(beat_s=0.1, lost_s=2)) as claim:
    print("holds", flush=True)
    for line in sys.stdin:
        try:
            claim.require()
            print("still holds at", time.time(), flush=True)
        except ClaimLostError as error:
            print(error, flush=True)
"""


def held(store: RoundStore, patience: Patience = PATIENT) -> contextlib.AbstractContextManager[Claim]:
    return claimed(
        driving(store), say=lambda _: pytest.fail("a driver that is not there is waited for"), patience=patience
    )


@contextlib.contextmanager
def holder(store: RoundStore, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the round's claim."""
    command = [*prefix, sys.executable, "-c", HOLDER, store.storage.uri]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "holds\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def stores(any_storage: Callable[[], Storage]) -> Callable[[], RoundStore]:
    return lambda: RoundStore(any_storage(), "round")


def test_one_of_many_drivers_holds_a_round_until_it_lets_go(stores):
    def drive(_: int) -> int:
        with contextlib.suppress(StorageError), held(stores()) as claim:
            claim.require()
            active.append(claim.run)
            num = len(active)
            time.sleep(0.3)  # while others try
            active.remove(claim.run)
            return num
        return 0

    active: list[str] = []
    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(drive, range(4))) == 1  # never two at a time
    with held(stores()):
        pass


def test_a_second_driver_is_told_who_runs_the_round_and_how_to_end_it(stores):
    store = stores()
    with (
        held(store) as claim,
        pytest.raises(StorageError, match=f"one driver at a time, but .*:{os.getpid()} runs 'round'.* stop round"),
        held(stores()),
    ):
        pass
    assert current_claim(driving(store)) is None
    with held(store) as again:
        assert again.run != claim.run


def test_a_claim_on_a_round_that_was_never_begun_leaves_nothing_behind(store, created_elsewhere):
    with held(store):
        pass
    assert not Path(store.storage.root).exists()
    with held(created_elsewhere):
        pass
    assert created_elsewhere.storage.files("round/claims") == ["000001.json"]
    with held(created_elsewhere):
        pass
    assert created_elsewhere.storage.files("round/claims") == ["000002.json"]


def test_a_sign_of_life_that_is_written_late_hides_no_driver_that_followed_since(store, monkeypatch):
    """As where a storage takes it at the third try, half a minute later."""
    patience = Patience(beat_s=0.2, lost_s=2.0)
    writes, is_held_up, goes_on, is_written = Storage.write, threading.Event(), threading.Event(), threading.Event()

    def write(storage: Storage, path: str, content: bytes) -> None:
        if path.endswith("claims/000001.json") and b'"is_over": false' in content:
            is_held_up.set()
            goes_on.wait()
            writes(storage, path, content)
            is_written.set()
        else:
            writes(storage, path, content)

    monkeypatch.setattr(Storage, "write", write)
    monkeypatch.setattr(DriverProcess, "is_here", lambda _: False)
    with held(store, patience) as first:
        assert is_held_up.wait(60)
        with claimed(driving(store), say=lambda _: None, patience=patience) as second:
            goes_on.set()
            assert is_written.wait(60)
            with pytest.raises(ClaimLostError):
                first.require()
            second.require()


@pytest.fixture
def created_elsewhere(tmp_path, record, studies) -> RoundStore:
    store = RoundStore(Storage(str(tmp_path / "elsewhere")), "round")
    store.create(record, studies, notes="", diff="")
    return store


def test_a_killed_driver_on_this_machine_is_known_at_once(store):
    with holder(store) as process:
        with pytest.raises(StorageError, match=f":{process.pid} runs 'round'"), held(store):
            pass
        process.kill()
        process.wait()
        with held(store):
            pass
    assert current_claim(driving(store)) is None


def test_a_claim_that_was_let_go_is_over_for_those_who_cannot_see_its_process(created, monkeypatch):
    with held(created):
        pass
    monkeypatch.setattr(DriverProcess, "is_here", lambda _: False)
    assert current_claim(driving(created)) is None
    with held(created):  # at once
        pass


def test_another_process_of_the_same_number_is_not_taken_for_the_driver(store):
    with held(store) as claim:
        record = current_claim(driving(store))
        assert record is not None
        other = record.driver.model_copy(update={"process_start": "1"})
        store.storage.write(
            "round/claims/000001.json", record.model_copy(update={"driver": other}).model_dump_json().encode()
        )
        assert current_claim(driving(store)) is None
        claim.require()


UNSEEN = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
needs_unseen = pytest.mark.skipif(
    not shutil.which("unshare") or os.geteuid() != 0, reason="needs root, for a process that this one cannot see"
)
"""Of a driver as if on another machine."""


@needs_unseen
def test_a_driver_that_cannot_be_seen_holds_while_it_gives_signs_of_life_and_no_longer(store, monkeypatch):
    wall_clock = time.time
    monkeypatch.setattr(time, "time", lambda: wall_clock() + 86_400)  # whatever the clocks say
    said: list[str] = []
    with holder(store, *UNSEEN) as process:
        child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        with pytest.raises(StorageError, match="one driver at a time"), claimed(driving(store), say=said.append):
            pass
        assert "to see whether" in said[0]
        os.kill(child, signal.SIGSTOP)
        with claimed(driving(store), say=said.append, patience=Patience(beat_s=0.1, lost_s=2)) as claim:
            os.kill(child, signal.SIGCONT)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            assert "another runs 'round'" in process.stdout.readline()  # it wakes, and must not write
            claim.require()
        process.stdin.close()
        process.wait()
    assert current_claim(driving(store)) is None


class OtherClock:
    """The wall clock of a process, which is set as one likes; what counts seconds goes on, as when a clock jumps."""

    def __init__(self, file: Path) -> None:
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self._file = file
        self.set(0)
        settings = {"FAKETIME_TIMESTAMP_FILE": file, "FAKETIME_NO_CACHE": 1, "FAKETIME_DONT_FAKE_MONOTONIC": 1}
        self.prefix = ("env", f"LD_PRELOAD={library}", *(f"{name}={value}" for name, value in settings.items()))

    def set(self, hours: int) -> None:
        """Put it forward, or back."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{hours:+d}h")
        beside.replace(self._file)


@needs_unseen
@pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime, for a clock that jumps")
@pytest.mark.parametrize("kind", ["local", "s3"])
def test_a_claim_outlives_a_clock_that_jumps_and_not_the_machine_of_its_driver(kind, request, tmp_path):
    storage = Storage(str(tmp_path / "rounds")) if kind == "local" else request.getfixturevalue("s3")()
    store, clock = RoundStore(storage, "round"), OtherClock(tmp_path / "clock")

    def asked(process: subprocess.Popen[str]) -> float:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer.startswith("still holds at ")
        return (float(answer.split()[-1]) - time.time()) / 3600

    with holder(store, *UNSEEN, *clock.prefix) as process:
        for hours in (5, -7, 30):
            clock.set(hours)
            assert round(asked(process)) == hours
            with pytest.raises(StorageError, match="one driver at a time"), claimed(driving(store), say=list):
                pass
        assert round(asked(process)) == 30
        child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        os.kill(child, signal.SIGKILL)
        process.wait()
        said: list[str] = []
        clock.set(-300)
        with claimed(driving(store), say=said.append, patience=Patience(beat_s=0.1, lost_s=2)) as claim:
            claim.require()
        assert "Waiting for at most 2 s" in said[0]


def test_a_claim_is_held_while_its_storage_is_away_and_not_when_another_followed(created, tmp_path):
    folder = Path(created.storage.root)
    always_looks = Patience(beat_s=60, lost_s=0)
    with held(created, always_looks) as claim:
        folder.rename(tmp_path / "away")
        claim.require()
        assert not folder.exists()
        (tmp_path / "away").rename(folder)
        claim.require()
        first = folder / "round" / "claims" / "000001.json"
        (first.parent / "000002.json").write_text(first.read_text().replace(claim.run, "another"))
        with pytest.raises(ClaimLostError, match="another runs 'round'"):
            claim.require()
        assert not first.exists()  # whoever follows had deleted it, and a beat of before may have brought it back
    assert '"is_over": false' in (first.parent / "000002.json").read_text()
