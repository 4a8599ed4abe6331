"""Rounds that end before their time, and go on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pyarrow.compute as pc
import pytest
import ray

from raytune_playbook import Gangs, InputError, InputPipeline, Resources, RunError, run
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.driving.requests import StopRequest, stop
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from tests.waiting import wait_for


def num_done(folder: Path) -> int:
    store = RoundStore(Storage(str(folder.parent)), folder.name)
    return sum(outcome is not None for outcome in store.trials()["outcome"].to_pylist()) if store.exists() else 0


@contextlib.contextmanager
def during(action: Callable[[], None]) -> Iterator[None]:
    """Within it ``action`` goes on beside; what it raises is raised at the end, also where what is within it fails."""
    with ThreadPoolExecutor() as threads:
        going = threads.submit(action)
        try:
            yield
        finally:
            going.result()


def test_a_round_stops_on_request_and_goes_on(gangs, make_round, tmp_path, quiet):
    holds = [tmp_path / f"hold-{position}" for position in range(5)]
    for hold in holds:
        hold.touch()

    def stop_soon() -> None:
        try:
            # Tune keeps three trials live and may start them in any order; of the first three two end in any case.
            wait_for(lambda: num_done(tmp_path / "stops") >= 2)
            stop_while_others_are_refused()
        finally:  # what the gangs are at goes on; no other trial is begun any more
            for hold in holds:
                hold.unlink()

    def stop_while_others_are_refused() -> None:
        with pytest.raises(InputError, match="STUDY/INDEX"):
            stop("stops", storage=str(tmp_path), trial="nothing/1")
        with pytest.raises(InputError, match="has one driver at a time"):
            run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
        assert stop("stops", storage=str(tmp_path)) == "Round stops ends at the next evaluation."

    broken = tuple(range(3, 8))
    round_ = make_round("stops", trials_per_study=8, fault="hold", broken=broken, marker=str(tmp_path))
    with during(stop_soon):
        result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert result.store.status().state == "stopped"
    assert 2 <= num_done(tmp_path / "stops") <= 5
    assert "The round stopped (stopped on request). Go on with: raytune-playbook resume stops" in quiet.file.getvalue()
    with pytest.raises(InputError, match="must be running"):
        stop("stops", storage=str(tmp_path))
    before = {row["index"]: row for row in result.trials.to_pylist() if row["outcome"]}
    again = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    after = {row["index"]: row for row in again.trials.to_pylist()}
    assert again.store.status().state == "finished"
    assert all(after[index] == row for index, row in before.items())  # what had ended was not touched
    assert {row["outcome"] for row in after.values()} == {"completed"}
    assert len(after) == 8
    # And once more: there is nothing left to do.
    finished = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert finished.trials.equals(again.trials)
    assert "All 8 trials are done already" in quiet.file.getvalue()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT is Ctrl-C, which a process that was started in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_round_that_was_cut_off_leaves_nothing_that_the_next_one_of_its_session_hears(
    gangs, make_round, tmp_path, quiet, interruptible, number
):
    """Both have a trial of one name, which reports in the next round after it has been cut off in the first."""
    holds = [tmp_path / name / "hold-0" for name in ("first", "next")]
    for hold in holds:
        hold.parent.mkdir()
        hold.touch()

    def has_begun(name: str) -> bool:
        return "00001" in [file.stem for file in (tmp_path / name / "cut" / "all" / "trials").glob("*.parquet")]

    def cut_off() -> None:
        wait_for(lambda: has_begun("first") and num_done(tmp_path / "first" / "cut") == 1)
        os.kill(os.getpid(), number)
        if number == signal.SIGINT:  # which is asked for twice; the other waits for nothing
            wait_for(lambda: "press Ctrl-C again" in quiet.file.getvalue())
            os.kill(os.getpid(), number)

    def let_the_first_go_on() -> None:
        try:
            wait_for(lambda: has_begun("next"))  # its other trial has ended, or waits for the gang of the first
            with pytest.raises(InputError, match="runs one round at a time"):
                run(make_round("third"), storage=str(tmp_path), gangs=gangs, console=quiet)
            assert [gang.state for gang in gangs.facts()] == [GangState.BUSY] * 2
            holds[0].unlink()
            wait_for(lambda: {gang.state for gang in gangs.facts()} == {GangState.BUSY, GangState.READY})
        finally:
            holds[0].unlink(missing_ok=True)
            holds[1].unlink()

    first, following = (
        make_round("cut", trials_per_study=2, fault="hold", broken=(1,), marker=str(hold.parent)) for hold in holds
    )
    with during(cut_off), pytest.raises(KeyboardInterrupt):
        run(first, storage=str(tmp_path / "first"), gangs=gangs, console=quiet)
    status = RoundStore(Storage(str(tmp_path / "first")), "cut").status()
    assert (status.state, status.reason) == ("stopped", "terminated" if number == signal.SIGTERM else "cut off")
    with during(let_the_first_go_on):
        undisturbed = run(following, storage=str(tmp_path / "next"), gangs=gangs, console=quiet)
    again = run(first, storage=str(tmp_path / "first"), gangs=gangs, console=quiet)
    assert [result.store.status().state for result in (undisturbed, again)] == ["finished"] * 2
    for key in ("00000", "00001"):
        ours, theirs = (
            result.store.measurements("all", key).drop_columns(list(TIME_COLUMNS)) for result in (undisturbed, again)
        )
        assert ours.equals(theirs), key
    assert [len(trial["attempts"]) for trial in undisturbed.trials.to_pylist()] == [1, 1]


def test_one_trial_stops_on_request_and_the_others_go_on(gangs, make_round, tmp_path, quiet):
    hold = tmp_path / "hold-0"
    hold.touch()

    def stop_trial() -> None:
        try:
            wait_for(lambda: num_done(tmp_path / "one") == 3)  # all but the one that waits
            with pytest.raises(InputError, match="must run to be stopped, but all/00000 has ended: completed"):
                stop("one", storage=str(tmp_path), trial="all/0")
            with pytest.raises(InputError, match="numbered from 0, and 'all' has 4"):
                stop("one", storage=str(tmp_path), trial="all/4")
            assert stop("one", storage=str(tmp_path), trial="1") == "Trial all/00001 ends at the next evaluation."
        finally:
            hold.unlink()

    held = {"fault": "hold", "broken": (1,), "marker": str(tmp_path)}
    round_ = make_round("one", trials_per_study=4, steps=30, step_sleep_s=0.1, **held)
    left_behind = StopRequest(run="of an earlier driver that was killed").model_dump_json().encode()
    Storage(str(tmp_path)).write("one/requests/0.json", left_behind)
    with during(stop_trial):
        result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    rows = {row["index"]: row for row in result.trials.to_pylist()}
    assert [rows[index]["outcome"] for index in range(4)] == ["completed", None, "completed", "completed"]
    assert rows[1]["attempts"][0]["ended"] == "stopped"
    assert result.store.status().state == "stopped"
    again = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert again.store.status().state == "finished"


def test_a_wall_clock_budget_ends_a_round_cleanly(gangs, make_round, tmp_path, quiet):
    round_ = make_round("budget", trials_per_study=100, steps=10, step_sleep_s=0.1, wall_clock_s=12)
    result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert result.store.status().state == "stopped"
    assert "wall-clock budget of 12 s is used up" in quiet.file.getvalue()
    assert 0 < num_done(tmp_path / "budget") < 100
    assert all(row["outcome"] in ("completed", None) for row in result.trials.to_pylist())


def test_examples_that_are_lost_end_the_round_with_a_sentence_and_are_read_anew(cluster, make_round, tmp_path, quiet):
    """No trial is to blame, and none has failed.

    What a node holds may be read until Ray has noticed that its owner is dead, so there are trials for minutes.
    """
    resources = Resources(num_workers=1, cpus_per_worker=1, num_gangs=1)

    def kill_store() -> None:
        wait_for(lambda: num_done(tmp_path / "lost") >= 1)
        ray.kill(session.preparation(None, label="", pipeline=InputPipeline()).store)

    round_ = make_round("lost", trials_per_study=500, step_sleep_s=0.1, resources=resources)
    lost = pytest.raises(RunError, match="examples are no longer in the cluster's memory")
    with Gangs(resources) as session:
        with during(kill_store), lost:
            run(round_, storage=str(tmp_path), gangs=session, console=quiet)
        before = [row["outcome"] for row in records_of(tmp_path / "lost").values()]
        assert None in before and {*before} <= {"completed", None}
        another = make_round("another", trials_per_study=1, resources=resources)
        again = run(another, storage=str(tmp_path), gangs=session, console=quiet)
    assert again.trials["outcome"].to_pylist() == ["completed"]


JOB = """
import time
from pathlib import Path
import numpy as np
from torch import nn
from raytune_playbook import Budget, Float, Objective, Resources, Round, Workload

class Line(Workload):
    def datasets(self):
        x = np.linspace(-1, 1, 64, dtype=np.float32)
        return {"train": {"x": x, "y": 2 * x}, "validation": {"x": x, "y": 2 * x}}
    def model(self, values):
        self.num_steps = 0
        return nn.Linear(1, 1)
    def loss(self, model, batch, values):
        self.num_steps += model.training
        while self.num_steps == 7 and Path("HOLD").exists():
            time.sleep(0.05)
        return (model(batch["x"][:, None])[:, 0] - batch["y"]).square()

round = Round(
    name="line", goal="Can it be cut off?", workload=Line(),
    nuisance={"learning_rate": Float(0.01, 0.1, scale="log")}, objective=Objective(metric="loss"),
    budget=Budget(num_trials=6, max_train_steps=12, evaluation_interval_steps=4),
    resources=Resources(num_workers=2, cpus_per_worker=0.5, num_gangs=1),
)
"""


@pytest.fixture
def command(tmp_path):
    """Starts the command line in a process group of its own, as a terminal does; what is left at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, address: str | None = None) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {} if address is None else {"RAY_ADDRESS": address}
        process = subprocess.Popen(
            [sys.executable, "-m", "raytune_playbook", *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_lost_cluster_is_one_sentence(command, tmp_path):
    """Its node goes with its dashboard agent; Ray may end the driver before that can say a word."""
    (tmp_path / "job.py").write_text(
        JOB.replace("HOLD", str(tmp_path / "hold")).replace("num_workers=2", "num_workers=1")
    )
    (tmp_path / "hold").touch()
    running = command("run", "job.py")
    wait_for(lambda: records_of(tmp_path / "rounds" / "line") or running.poll() is not None)
    started = psutil.Process(running.pid).children(recursive=True)
    (killed,) = [process for process in started if "DashboardAgent" in " ".join(process.cmdline())]
    try:
        killed.kill()
        printed, _ = running.communicate(timeout=120)
    finally:
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    assert running.returncode == 1, printed
    sentences = ("The Ray cluster is lost: ", "Ray ends it where its cluster is lost")
    assert sum(printed.count(sentence) for sentence in sentences) == 1, printed
    assert printed.count("was recorded is kept") == 1
    assert "Traceback" not in printed


PREPROCESSING = """
    def preprocess(self, columns):
        Path("BEGUN").touch()
        while Path("HOLD").exists():
            time.sleep(0.05)
        return columns
    def model(self, values):"""


def test_a_check_and_a_preprocessing_that_are_killed_say_one_sentence(command, cluster, tmp_path):
    def says_when_killed(process: subprocess.Popen[str], words: str) -> None:
        os.kill(process.pid, signal.SIGKILL)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, printed
        *before, last = printed.splitlines()
        assert last.startswith(f"The process that {words} ended all at once: Ray ends it where its"), printed
        assert all(line.startswith("  ") for line in before), printed  # what the check had said when it was killed

    hold, begun = tmp_path / "hold", tmp_path / "begun"
    hold.touch()
    (tmp_path / "job.py").write_text(JOB.replace("self.num_steps == 7", "True").replace("HOLD", str(hold)))
    preprocessing = PREPROCESSING.replace("BEGUN", str(begun)).replace("HOLD", str(hold)).lstrip("\n")
    (tmp_path / "preprocessed.py").write_text(JOB.replace("    def model(self, values):", preprocessing))
    try:
        preprocessed = command("preprocess", "preprocessed.py", address=cluster.address)
        wait_for(lambda: begun.exists() or preprocessed.poll() is not None)
        says_when_killed(preprocessed, "preprocessed the examples of 'line'")
        checked = command("check", "job.py", address=cluster.address)
        assert any("gang(s) of 2 worker(s)" in line for line in checked.stdout)  # its price comes before its workers
        says_when_killed(checked, "checked 'line'")
        terminated = command("check", "job.py", address=cluster.address)
        assert any("Examples:" in line for line in terminated.stdout)  # its workers are being started
        terminated.terminate()
        printed, _ = terminated.communicate(timeout=240)
        *before, last = printed.splitlines()
        assert (terminated.returncode, last) == (143, "Terminated."), printed
        assert all(line.startswith("  ") for line in before), printed
    finally:
        hold.unlink()


def records_of(folder: Path) -> dict[int, dict[str, object]]:
    store = RoundStore(Storage(str(folder.parent)), folder.name)
    return {row["index"]: row for row in store.trials().to_pylist()} if store.exists() else {}


def evaluated(folder: Path, index: int) -> list[int]:
    """The steps at which a trial has been evaluated, as far as the storage shows it."""
    measured = RoundStore(Storage(str(folder.parent)), folder.name).measurements("all", f"{index:05d}")
    return [] if measured is None else measured.filter(pc.field("split") == "validation")["step"].to_pylist()


def started_together(command) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """Two commands that run one round, each on a cluster of its own: the one that does, and the one that is refused."""
    both = [command("run", "job.py") for _ in range(2)]
    wait_for(lambda: any(process.poll() is not None for process in both))
    both.sort(key=lambda process: process.poll() is not None)
    return both[0], both[1]


def interrupt_and_resume(command, address: str, folder: Path, hold: Path) -> None:
    """A round that is interrupted in its second trial, and then goes on to its end.

    While ``hold`` exists, trials stop between their first checkpoint and their end.
    """

    def ended() -> dict[int, dict[str, object]]:
        return {index: row for index, row in records_of(folder).items() if row["outcome"]}

    def held() -> list[int]:
        checkpoints = folder / "all" / "checkpoints"
        kept = {index: checkpoints / f"{index:05d}" / "4" / "training.pt" for index in records_of(folder)}
        return [index for index, path in kept.items() if path.exists() and index not in ended()]

    def hold_a_trial(process: subprocess.Popen[str]) -> int:
        hold.touch()
        wait_for(lambda: len(held()) == 1 or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        return held()[0]

    interrupted, refused = started_together(command)
    wait_for(lambda: ended() or interrupted.poll() is not None)
    live = hold_a_trial(interrupted)
    # Held in its second interval, the trial is there with its first one for whoever looks at a round that runs.
    wait_for(lambda: evaluated(folder, live) == [0, 4] or interrupted.poll() is not None)
    assert records_of(folder)[live]["outcome"] is None
    assert [attempt["ended"] for attempt in records_of(folder)[live]["attempts"]] == [None]
    os.killpg(interrupted.pid, signal.SIGINT)  # as the terminal does: to the command and whatever it has started
    hold.unlink()
    printed, _ = refused.communicate()
    assert refused.returncode == 2, printed
    assert printed.startswith("A round has one driver at a time, but ")
    assert f":{interrupted.pid} runs 'line'; wait for it, or end it with: raytune-playbook stop line" in printed
    printed, _ = interrupted.communicate(timeout=240)
    assert interrupted.returncode == 130, printed
    assert "Interrupted: trials end at their next evaluation" in printed
    assert "The round stopped (interrupted). Go on with: raytune-playbook resume line" in printed
    assert "Traceback" not in printed
    after_interrupt = ended()
    assert 1 <= len(after_interrupt) <= 3

    resumed = command("resume", "line", address=address)
    printed, _ = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, printed
    assert f"{len(after_interrupt)} trials are done already" in printed
    assert after_interrupt.items() <= ended().items()  # what had ended was not touched

    finished = command("resume", "line", address="127.0.0.1:1")  # where no cluster is, and none is needed
    printed, _ = finished.communicate(timeout=240)
    assert finished.returncode == 0, printed
    assert "All 6 trials are done already" in printed


@pytest.mark.timeout(900)
def test_ck2_ctrl_c_leaves_a_round_that_goes_on_as_if_undisturbed(command, gangs, cluster, tmp_path, quiet):
    (tmp_path / "job.py").write_text(JOB.replace("HOLD", str(tmp_path / "hold")))
    (tmp_path / "undisturbed.py").write_text(JOB.replace("HOLD", str(tmp_path / "never")))
    folder = tmp_path / "rounds" / "line"

    round_ = load_job(str(tmp_path / "undisturbed.py")).round.model_copy(update={"resources": gangs.resources})
    with ThreadPoolExecutor() as threads:
        undisturbed = threads.submit(run, round_, storage=str(tmp_path / "whole"), gangs=gangs, console=quiet)
        interrupt_and_resume(command, cluster.address, folder, tmp_path / "hold")
    assert len(undisturbed.result().trials) == 6
    for index, trial in enumerate(undisturbed.result().trials.to_pylist()):
        assert (trial["outcome"], trial["objective"]) == ("completed", records_of(folder)[index]["objective"])
        ours, theirs = (
            RoundStore(Storage(str(each)), "line").measurements("all", f"{index:05d}").drop_columns(list(TIME_COLUMNS))
            for each in (folder.parent, tmp_path / "whole")
        )
        assert ours.equals(theirs), index


def test_another_round_of_the_same_name_is_refused(gangs, make_round, tmp_path, quiet):
    run(make_round("name", trials_per_study=1), storage=str(tmp_path), gangs=gangs, console=quiet)
    with pytest.raises(InputError, match="belongs to one specification"):
        run(make_round("name", trials_per_study=1, steps=6), storage=str(tmp_path), gangs=gangs, console=quiet)
