"""Rounds whose storage is full or becomes read-only, on a small disk of their own."""

from __future__ import annotations

import pytest

from raytune_playbook import InputError, RunError, run
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from tests.engine.rounds.test_interruptions import during, num_done
from tests.faults.disks import fill, hidden, remount
from tests.waiting import wait_for


def test_a_full_or_read_only_disk_ends_a_round_that_goes_on_when_there_is_room(
    gangs, make_round, disk, tmp_path, quiet
):
    marks = tmp_path / "marks"
    marks.mkdir()
    first, second = marks / "hold-0", marks / "hold-1"
    second.touch()
    round_ = make_round("full", trials_per_study=3, fault="hold", broken=(0, 1), marker=str(marks))

    def fill_in_the_middle() -> None:
        try:
            wait_for(lambda: num_done(disk / "full") == 2)
            fill(disk)
        finally:
            second.unlink()

    def make_read_only_before_the_first_attempt() -> None:
        try:
            wait_for(lambda: any(gang.state is GangState.BUSY for gang in gangs.facts()))  # at the check, which waits
            wait_for(lambda: remount(disk, "ro"))  # when no file is open
        finally:
            first.unlink()

    full = pytest.raises(RunError, match=r"^The round stopped: .* \(No space left on device\); make room there")
    with during(fill_in_the_middle), full as told:
        run(round_, storage=str(disk), gangs=gangs, console=quiet)
    assert "What was recorded is kept; go on with: raytune-playbook resume full" in str(told.value)
    assert hidden(disk) == []
    store = RoundStore(Storage(str(disk)), "full")
    kept = [row for row in store.trials().to_pylist() if row["index"] != 1]
    fill(disk)  # also what the end has freed
    with pytest.raises(InputError, match="No space left on device"):
        run(round_, storage=str(disk), gangs=gangs, console=quiet)
    (disk / "ballast").unlink()

    first.touch()
    read_only = pytest.raises(RunError, match=r"^The round stopped: .* \(Read-only file system\)")
    with during(make_read_only_before_the_first_attempt), read_only:
        run(round_, storage=str(disk), gangs=gangs, console=quiet)
    with pytest.raises(InputError, match="Read-only file system"):
        run(round_, storage=str(disk), gangs=gangs, console=quiet)
    assert remount(disk, "rw")
    result = run(round_, storage=str(disk), gangs=gangs, console=quiet)
    assert [trial["outcome"] for trial in result.trials.to_pylist()] == ["completed"] * 3
    assert len(kept) == 2
    assert [row for row in store.trials().to_pylist() if row["index"] != 1] == kept
    assert hidden(disk) == []
