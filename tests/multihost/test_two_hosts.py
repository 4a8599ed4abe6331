"""Rounds whose gangs lie on two hosts, and what they cost when a host is lost, stuck or taken away.

Every round here asks for the same trials, so that each is held against one that nothing disturbed: bit for bit.
Rules MH1, MH2, MH3, BN1; DESIGN decisions 1, 2 and 3.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from raytune_playbook.data.streaming.windows import Layout, fragment_order, window_order
from raytune_playbook.engine.gang.host import DRAIN_CHECK_S
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.trial import TrialSpec
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(900)

STEPS = 8
ARMS = ("device", "sync", "ghost")
GANG = {
    "num_workers": 2,
    "cpus_per_worker": 1,
    "num_gangs": 1,
    "node_labels": {"pool": "gangs"},
    "collective_timeout_s": 8,
    "start_timeout_s": 240,
}


def spec(
    name: str = "round",
    *,
    trials: int = 1,
    step_sleep_s: float = 0.0,
    hold: str = "",
    files: str = "",
    arms: tuple[str, ...] = ARMS,
    **resources: Any,
) -> dict[str, Any]:
    fields = {"name": name, "arms": arms, "trials": trials, "steps": STEPS, "step_sleep_s": step_sleep_s, "hold": hold}
    return fields | {"files": files, "resources": GANG | resources}


class Ended:
    """A round's records."""

    def __init__(self, folder: Path, name: str = "round") -> None:
        self._folder, self._store = folder / name, RoundStore(Storage(str(folder)), name)
        told = folder / f"{name}.json"
        self.error: str | None = json.loads(told.read_text())["error"] if told.exists() else None

    @property
    def trials(self) -> dict[tuple[str, int], dict[str, Any]]:
        rows = self._store.trials().to_pylist() if self._store.exists() else []
        return {(trial["study"], trial["index"]): trial for trial in rows}

    def trial_spec(self, study: str, index: int) -> TrialSpec:
        """What determined one of its trials."""
        return suggest(next(each for each in self._store.studies() if each.name == study), index)

    def ends(self) -> dict[tuple[str, int], list[str]]:
        """How the attempts at each trial ended."""
        return {key: [each["ended"] for each in trial["attempts"]] for key, trial in self.trials.items()}

    def by_start(self) -> list[dict[str, Any]]:
        """The trials in the order in which they began: of two that wait for a gang either may be the first."""
        return sorted(self.trials.values(), key=lambda trial: str(trial["attempts"][0]["started_at"]))

    def num_begun(self, num_steps: int) -> int:
        """Of how many studies the first trial has done so many steps in its first attempt."""
        return sum(len(self.printed("mask", 0, f"batch_norm={arm}")) >= num_steps for arm in ARMS)

    def printed(self, word: str, rank: int, study: str = "batch_norm=device", attempt: int = 1) -> list[str]:
        """The lines that a worker printed in the first trial of a study."""
        log = self._folder / study / "logs" / f"00000.attempt{attempt}.rank{rank}.log"
        return [line for line in log.read_text().splitlines() if line.startswith(word)] if log.exists() else []

    def assert_same_numbers(self, other: Ended) -> None:
        for (study, index), trial in self.trials.items():
            assert trial["outcome"] == "completed"
            ours, theirs = (each._store.measurements(study, f"{index:05d}") for each in (self, other))
            assert ours is not None and theirs is not None
            assert ours.drop_columns(list(TIME_COLUMNS)).equals(theirs.drop_columns(list(TIME_COLUMNS))), (study, index)


@pytest.fixture(scope="module")
def calm(all_hosts, tmp_path_factory) -> tuple[Ended, Ended, Ended]:
    """The undisturbed round on a gang over two hosts, on one whose workers share a host, and over two hosts one whose
    examples are streamed."""
    folder = tmp_path_factory.mktemp("calm")
    all_hosts.mend()
    specs = [spec(how, trials=2, placement=how) for how in ("spread", "packed")]
    streamed = spec("streamed", files=write_files(folder / "files"), arms=("device",), placement="spread")
    with all_hosts.running(folder, specs[0], streamed, specs[1]):
        pass
    return Ended(folder, "spread"), Ended(folder, "packed"), Ended(folder, "streamed")


def write_files(folder: Path) -> str:
    """130 training examples in five files of two row groups each, and some validation examples."""
    for split, num_files in (("train", 5), ("validation", 1)):
        (folder / split).mkdir(parents=True)
        for number in range(num_files):
            rows = np.arange(26 * number, 26 * (number + 1))
            inputs = np.sin(rows[:, None] * np.arange(1, 7)).astype(np.float32)
            table = pa.table(
                {
                    "row": rows,
                    "input": pa.FixedShapeTensorArray.from_numpy_ndarray(inputs),
                    "target": inputs.sum(axis=1),
                }
            )
            pq.write_table(table, folder / split / f"{number}.parquet", row_group_size=13)
    return str(folder)


def test_a_gang_over_two_hosts_computes_what_one_on_a_single_host_does(calm):
    spread, packed, _ = calm
    assert {tuple(sorted(trial["machine"]["hosts"])) for trial in spread.trials.values()} == {("one", "two")}
    assert {len(set(trial["machine"]["hosts"])) for trial in packed.trials.values()} == {1}
    assert len(spread.trials) == len(packed.trials) == 2 * len(ARMS)
    spread.assert_same_numbers(packed)


def test_mh2_hosts_start_from_equal_weights_and_drop_different_units(calm):
    spread, packed, _ = calm
    initial = [line for rank in (0, 1) for line in spread.printed("initial", rank)]
    assert len(initial) == 2 and len(set(initial)) == 1
    masks = [line for rank in (0, 1) for line in spread.printed("mask", rank)]
    assert len(masks) == 2 * STEPS and len(set(masks)) == len(masks)
    assert masks == [line for rank in (0, 1) for line in packed.printed("mask", rank)]


def test_mh3_hosts_that_stream_see_the_global_batches_that_files_windows_and_seeds_determine(calm):
    _, _, streamed = calm
    (trial,) = streamed.trials.values()
    assert (trial["outcome"], sorted(trial["machine"]["hosts"])) == ("completed", ["one", "two"])
    spec_ = streamed.trial_spec("batch_norm=device", 0)
    parts = [[json.loads(line[5:]) for line in streamed.printed("rows", rank)] for rank in (0, 1)]
    found = [row for one, two in zip(*parts, strict=True) for row in one + two]
    laid = np.concatenate([np.arange(13 * fragment, 13 * (fragment + 1)) for fragment in fragment_order(spec_, 0, 10)])
    layout = Layout(130, 50)
    windows = [laid[start : start + 50] for start in (0, 50, 100)]
    expected = np.concatenate(
        [rows[window_order(spec_, layout.place(50 * place), len(rows))] for place, rows in enumerate(windows)]
    )
    assert len(found) == STEPS * 16  # of the first epoch's 130
    assert found == expected[: len(found)].tolist()


def test_bn1_synchronized_batch_norm_over_two_hosts_is_that_of_the_whole_batch(hosts, tmp_path, drive):
    meeting = f"{hosts.one.address}:7501"
    processes = [
        hosts.start(host, meeting, "normalize", str(rank), str(tmp_path), stdout=subprocess.PIPE)
        for rank, host in enumerate((hosts.one, hosts.two))
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    whole = drive.normalized(nn.BatchNorm2d(4).double(), *drive.batch(), slice(None))
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    for name in ("output", "input"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), whole[name], rtol=1e-12, atol=1e-12)
    for name in ("weight", "bias"):
        torch.testing.assert_close(parts[0][name] + parts[1][name], whole[name], rtol=1e-12, atol=1e-12)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(parts[0][name], whole[name], rtol=1e-12, atol=0)
        assert torch.equal(parts[0][name], parts[1][name])


def test_a_killed_host_costs_its_gang_and_no_other_and_the_last_one_the_round(hosts, tmp_path, record_property):
    now = Ended(tmp_path)

    def gangs_at_work() -> set[str]:
        return {trial["attempts"][-1]["gang"] for trial in now.trials.values() if trial["outcome"] is None}

    # More trials than are run: the round ends with its last host.
    with hosts.running(tmp_path, spec(trials=100, step_sleep_s=0.3, num_gangs=2, wait_for_nodes_s=10)):
        wait_for(lambda: len(gangs_at_work()) == 2)
        hosts.two.kill()
        killed_s = time.time()
        wait_for(lambda: ["node lost", "completed"] in now.ends().values())
        first = now.ends()
        hosts.one.kill()
    ended = Ended(tmp_path)
    record_property("retried_after_s", retried_after_s(ended, killed_s))
    lost = [ends for ends in first.values() if "node lost" in ends]
    assert lost == [["node lost", "completed"]]  # by the gang that is left, whose own trials never noticed
    assert all(ends in (["completed"], [None]) for ends in first.values() if ends not in lost)
    assert ended.error is not None
    assert "no gang of 2 worker(s) could start within 10 s" in ended.error
    assert {trial["outcome"] for trial in ended.trials.values()} <= {"completed", None}


def retried_after_s(ended: Ended, since_s: float) -> list[float]:
    """Seconds from a disturbance to the attempts that followed it; in the report of ``pytest --junitxml``."""
    starts = [each["started_at"] for trial in ended.trials.values() for each in trial["attempts"] if each["number"] > 1]
    return [round(datetime.fromisoformat(start).timestamp() - since_s, 1) for start in starts]


@pytest.fixture
def disturbed(hosts, calm, tmp_path, record_property):
    """Runs the round on one gang, does something to it in the middle of its first trial, and lets it end."""

    def run(disturb: Callable[[], None], hold: str = "", **resources: Any) -> Ended:
        now = Ended(tmp_path)
        with hosts.running(tmp_path, spec(step_sleep_s=0.3, hold=hold, **resources)):
            wait_for(lambda: now.num_begun(3))
            disturb()
            disturbed_s = time.time()
        ended = Ended(tmp_path)
        record_property("retried_after_s", retried_after_s(ended, disturbed_s))
        ended.assert_same_numbers(calm[0])
        return ended

    return run


def test_a_hung_collective_ends_in_a_restart_and_a_host_whose_link_is_down_is_left(hosts, disturbed, tmp_path):
    stopped: list[int] = []

    def stop() -> None:
        stopped.extend(process_id for host in hosts.with_workers()[1:] for process_id in host.workers())
        for process_id in stopped:
            os.kill(process_id, signal.SIGSTOP)

    def disturb() -> None:
        stop()
        wait_for(lambda: Ended(tmp_path).num_begun(1) == 2)
        hosts.link(hosts.two, "down")

    ended = disturbed(disturb, placement="spread")
    ends = [[each["ended"] for each in trial["attempts"]] for trial in ended.by_start()]
    assert ends == [["exception", "completed"], ["node lost", "completed"], ["completed"]]
    assert len(stopped) == 1
    assert not set(stopped) & {process_id for host in (hosts.one, hosts.two) for process_id in host.process_ids()}
    # The whole gang fits on the host that is left.
    assert [trial["machine"]["hosts"] == ["one", "one"] for trial in ended.by_start()] == [False, True, True]


def test_a_drained_host_is_left_at_once_and_no_attempt_is_counted(hosts, disturbed, tmp_path):
    drained: list[Any] = []
    hold = tmp_path / "hold"
    hold.touch()

    def drain() -> None:
        drained.extend(hosts.with_workers())
        hosts.drain(drained[0])
        wait_for(lambda: drained[0].name in hosts.draining())
        time.sleep(DRAIN_CHECK_S + 3)  # by then the gang's host has asked, and its workers have heard
        hold.unlink()

    ended = disturbed(drain, hold=str(hold), placement="packed")
    (other,) = {hosts.one, hosts.two} - set(drained)
    moved = [trial for trial in ended.trials.values() if len(trial["attempts"]) > 1]
    assert sorted(ended.ends().values()) == [["completed"], ["completed"], ["node lost", "completed"]]
    assert [trial["machine"]["hosts"] for trial in moved] == [[other.name] * 2]
