"""Rounds that end before their time, and go on."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray

from raytune_playbook import Gangs, InputError, Resources, RunError, run
from raytune_playbook.engine.rounds import stop


def wait_for(condition, timeout_s: float = 240) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.1)


def num_done(folder: Path) -> int:
    return sum(
        row["outcome"] is not None
        for file in folder.glob("*/trials/*.parquet")
        for row in pq.read_table(file).to_pylist()
    )


def during(action) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def test_a_round_or_a_trial_stops_on_request_and_goes_on(gangs, make_round, tmp_path, quiet):
    def stop_soon() -> None:
        wait_for(lambda: num_done(tmp_path / "stops") >= 2)
        with pytest.raises(InputError, match="STUDY/INDEX"):
            stop("stops", storage=str(tmp_path), trial="nothing/1")
        with pytest.raises(InputError, match="has one driver at a time"):
            run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
        stop("stops", storage=str(tmp_path))

    round_ = make_round("stops", trials_per_study=8, steps=8, step_sleep_s=0.2)
    thread = during(stop_soon)
    result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    thread.join()
    assert result.store.status().state == "stopped"
    assert 2 <= num_done(tmp_path / "stops") < 8
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


def test_one_trial_stops_on_request_and_the_others_go_on(gangs, make_round, tmp_path, quiet):
    def stop_trial() -> None:
        wait_for(lambda: (tmp_path / "one" / "all" / "trials" / "00001.parquet").exists())
        stop("one", storage=str(tmp_path), trial="all/1")

    round_ = make_round("one", trials_per_study=4, steps=30, step_sleep_s=0.1)
    thread = during(stop_trial)
    result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    thread.join()
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


def test_a_lost_pool_ends_the_round_with_a_sentence_and_keeps_its_records(cluster, make_round, tmp_path, quiet):
    resources = Resources(num_workers=1, cpus_per_worker=1, num_gangs=1)

    def kill_pool() -> None:
        wait_for(lambda: num_done(tmp_path / "lost") >= 1)
        ray.kill(session.pool)

    round_ = make_round("lost", trials_per_study=6, steps=6, step_sleep_s=0.2, resources=resources)
    with Gangs(resources) as session:
        thread = during(kill_pool)
        with pytest.raises(RunError, match="the pool of gangs was lost"):
            run(round_, storage=str(tmp_path), gangs=session, console=quiet)
        thread.join()
    assert 1 <= num_done(tmp_path / "lost") < 6
    assert json.loads((tmp_path / "lost" / "status.json").read_text())["state"] == "failed"


def test_another_round_of_the_same_name_is_refused(gangs, make_round, tmp_path, quiet):
    run(make_round("name", trials_per_study=1), storage=str(tmp_path), gangs=gangs, console=quiet)
    with pytest.raises(InputError, match="belongs to one specification"):
        run(make_round("name", trials_per_study=1, steps=6), storage=str(tmp_path), gangs=gangs, console=quiet)
