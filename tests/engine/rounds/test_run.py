"""Rounds on real gangs: counts of starts, retries, outcomes, and numbers that do not depend on who computes them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import ray
from markupsafe import escape
from ray import tune
from ray.util.state import list_actors

from raytune_playbook import Float, Gangs, Int, Resources, RunError, run
from raytune_playbook.analysis.answer.answer import Verdict
from raytune_playbook.analysis.judging.divergence import diverged_again
from raytune_playbook.analysis.wording import number_text
from raytune_playbook.engine.driver import driver
from raytune_playbook.engine.driver.recorder import Tally
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.engine.tune.round_search import RoundSearch
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from tests.waiting import wait_for


def outcomes(result: Result) -> dict[tuple[str, int], str]:
    rows = result.trials.select(["study", "index", "outcome"]).to_pylist()
    return {(row["study"], row["index"]): row["outcome"] for row in rows}


def numbers(result: Result, study: str, key: str) -> pa.Table:
    """A trial's measurements without the one column that is about time."""
    table = result.store.measurements(study, key)
    assert table is not None
    return table.drop_columns(list(TIME_COLUMNS))


def assert_same_numbers(one: Result, other: Result) -> None:
    """Bit for bit, for every trial that has ended with measurements."""
    assert outcomes(one) == outcomes(other)
    compared = 0
    for (study, index), outcome in outcomes(one).items():
        if outcome != "failed":
            key = f"{index:05d}"
            assert numbers(one, study, key).equals(numbers(other, study, key)), (study, key)
            compared += 1
    assert compared > 0
    assert one.trials["objective"].to_pylist() == other.trials["objective"].to_pylist()


class PausingSearch(RoundSearch):
    """Suggests nothing for a while in the middle, as a searcher does that waits for results."""

    def suggest(self, trial_id: str) -> dict[str, object] | None:
        if len(self._todo) == 30 and self._live:
            return None  # until every live trial has ended
        return super().suggest(trial_id)


def test_each_gang_starts_once_over_three_studies_with_failing_trials_and_a_pause(
    gangs, make_round, tmp_path, quiet, monkeypatch
):
    run(make_round("warm_up"), storage=str(tmp_path), gangs=gangs, console=quiet)
    before = [(gang.name, gang.num_starts) for gang in gangs.facts()]  # more than 1 where other tests killed workers
    assert len(before) == 2
    monkeypatch.setattr(driver, "RoundSearch", PausingSearch)
    round_ = make_round("starts", arms=3, trials_per_study=20, fault="raise", broken=(5,))
    result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    ended = outcomes(result)
    assert len(ended) == 60
    assert sorted(name for name, outcome in ended.items() if outcome == "failed") == [
        ("batch_norm=device", 5),
        ("batch_norm=ghost", 5),
        ("batch_norm=sync", 5),
    ]
    assert [(gang.name, gang.num_starts) for gang in gangs.facts()] == before
    assert [gang.state for gang in gangs.facts()] == [GangState.READY, GangState.READY]


def test_numbers_are_the_same_on_used_and_fresh_gangs_and_after_a_crash_and_a_long_idle_time(
    gangs, make_round, tmp_path, quiet
):
    many = run(
        make_round("a", arms=3, trials_per_study=3, fault="raise", broken=(1,)),
        storage=str(tmp_path / "used"),
        gangs=gangs,
        console=quiet,
    )
    one_gang = Resources(num_workers=2, cpus_per_worker=1, num_gangs=1, collective_timeout_s=3)
    with Gangs(one_gang, keep_idle_s=600) as fresh:
        alone = run(
            make_round("a", arms=3, trials_per_study=1, resources=one_gang),
            storage=str(tmp_path / "alone"),
            gangs=fresh,
            console=quiet,
        )
        for study in ("batch_norm=device", "batch_norm=sync", "batch_norm=ghost"):
            assert numbers(alone, study, "00000").equals(numbers(many, study, "00000"))
        time.sleep(one_gang.collective_timeout_s + 2)  # what a worker that waited in a collective would not survive
        single = run(
            make_round("a", arms=3, trials_per_study=3, fault="raise", broken=(1,), resources=one_gang),
            storage=str(tmp_path / "single"),
            gangs=fresh,
            console=quiet,
        )
        assert [gang.num_starts for gang in fresh.facts()] == [1]
    assert_same_numbers(many, single)


def test_in3_infeasible_trials_have_a_reason_and_are_not_retried(gangs, make_round, tmp_path, quiet):
    for fault, reason in [
        ("nan", "NaN: training loss at step 1"),
        ("declared", "declared: x is out of reach"),
        ("diverge", "diverged: "),
    ]:
        round_ = make_round(fault, trials_per_study=2, fault=fault, broken=(1,))
        result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
        first, second = result.trials.to_pylist()
        assert first["outcome"] == "completed"
        assert (second["outcome"], len(second["attempts"])) == ("infeasible", 1)
        assert second["reason"].startswith(reason)
    measurements = result.store.measurements("all", "00001")
    assert diverged_again(measurements, evaluation_interval_steps=2, factor=2.0)


def test_a_trial_that_always_raises_fails_after_two_attempts_with_both_tracebacks(gangs, make_round, tmp_path, quiet):
    round_ = make_round("raises", trials_per_study=4, fault="raise on one worker", broken=(2,))
    result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    trial = result.trials.to_pylist()[2]
    assert trial["outcome"] == "failed"
    assert [attempt["ended"] for attempt in trial["attempts"]] == ["exception", "exception"]
    assert all("ValueError: only this worker" in attempt["traceback"] for attempt in trial["attempts"])
    assert "Trial all/00002 failed: ValueError: only this worker" in quiet.file.getvalue()
    log = tmp_path / "raises" / "all" / "logs" / "00002.attempt2.rank1.log"
    assert "ValueError: only this worker" in log.read_text()
    assert str(tmp_path / "raises" / "all" / "logs") in quiet.file.getvalue()


def test_a_worker_that_dies_costs_one_attempt_and_changes_no_number(gangs, make_round, tmp_path, quiet):
    (tmp_path / "marks").mkdir()
    whole = run(make_round("dies", trials_per_study=3), storage=str(tmp_path / "whole"), gangs=gangs, console=quiet)
    round_ = make_round("dies2", trials_per_study=3, fault="exit once", broken=(1,), marker=str(tmp_path / "marks"))
    broken = run(round_, storage=str(tmp_path / "broken"), gangs=gangs, console=quiet)
    attempts = broken.trials["attempts"].to_pylist()
    assert [[attempt["ended"] for attempt in trial] for trial in attempts] == [
        ["completed"],
        ["worker died", "completed"],
        ["completed"],
    ]
    for index in range(3):
        key = f"{index:05d}"
        assert numbers(whole, "all", key).equals(numbers(broken, "all", key))


def test_a_killed_worker_and_a_killed_controller_are_survived(gangs, make_round, tmp_path, quiet):
    holds = [tmp_path / f"hold-{position}" for position in range(2)]

    def one_worker() -> list[int]:
        gang = next(gang for gang in gangs.facts() if gang.state is GangState.BUSY)
        return [gang.worker_process_ids[1]]

    def controllers() -> list[int]:  # of both gangs, and perhaps of workers that have just gone
        address = ray.get_runtime_context().gcs_address  # not whichever cluster of this machine started last
        alive = list_actors(address, filters=[("class_name", "=", "TrainController"), ("state", "=", "ALIVE")])
        return [actor.pid for actor in alive]

    def kill_in_the_middle(name: str, process_ids: Callable[[], list[int]], num_lost: int) -> None:
        try:
            wait_for(lambda: attempted(tmp_path, name) >= {1, 2})  # Tune may start trial 0 before or after them
            wait_for(lambda: [gang.state for gang in gangs.facts()] == [GangState.BUSY] * 2)  # both trials are held
            for process_id in process_ids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGKILL)
            wait_for(lambda: num_died(tmp_path, name) == num_lost)  # while held, lest a trial end before its workers
        finally:
            for hold in holds:
                hold.unlink()

    for name, process_ids, num_lost in [("worker", one_worker, 1), ("controller", controllers, 2)]:
        for hold in holds:
            hold.touch()
        round_ = make_round(name, trials_per_study=3, fault="hold", broken=(1, 2), marker=str(tmp_path))
        with ThreadPoolExecutor() as threads:
            killing = threads.submit(kill_in_the_middle, name, process_ids, num_lost)
            result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
            killing.result()
        assert set(outcomes(result).values()) == {"completed"}
        ended = sorted(a["ended"] for trial in result.trials["attempts"].to_pylist() for a in trial)
        assert ended == ["completed"] * 3 + ["worker died"] * num_lost, name


def num_died(storage: Path, name: str) -> int:
    """Attempts of a round that have ended with a dead worker."""
    rows = RoundStore(Storage(str(storage)), name).trials().to_pylist()
    return sum(attempt["ended"] == "worker died" for row in rows for attempt in row["attempts"])


def attempted(storage: Path, name: str) -> set[int]:
    """The trials of a round of which an attempt was begun."""
    store = RoundStore(Storage(str(storage)), name)
    return {row["index"] for row in store.trials().to_pylist() if row["attempts"]} if store.exists() else set()


def test_ck4_a_poor_trial_trains_as_long_as_a_good_one_and_tune_has_no_scheduler(
    gangs, make_round, tmp_path, quiet, monkeypatch
):
    schedulers = []

    def tuner(*arguments: object, tune_config: tune.TuneConfig, **options: object) -> tune.Tuner:
        schedulers.append(tune_config.scheduler)
        return own(*arguments, tune_config=tune_config, **options)

    own = tune.Tuner
    monkeypatch.setattr(driver.tune, "Tuner", tuner)
    round_ = make_round("poor", trials_per_study=6, steps=20)
    result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert schedulers == [None]
    trials = result.trials.to_pylist()
    losses = [trial["objective"] for trial in trials]
    assert max(losses) > 1.05 * min(losses)  # some are worse
    assert [trial["num_steps"] for trial in trials] == [20] * 6
    for trial in trials:
        evaluated = result.store.measurements("all", f"{trial['index']:05d}").filter(pc.field("split") == "validation")
        assert evaluated["step"].to_pylist() == list(range(0, 21, 2))


def test_a_round_whose_first_trials_all_fail_stops_with_the_traceback_and_can_be_mended(
    gangs, make_round, tmp_path, quiet
):
    everywhere = make_round("hopeless", trials_per_study=20, fault="raise")
    with pytest.raises(RunError, match=r"(?s)The check before trial 0 failed.*ValueError: no such model"):
        run(everywhere, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert not list(tmp_path.iterdir())
    # Index 0 is sound, so that the check passes.
    broken = make_round("hopeless", trials_per_study=20, fault="raise", broken=tuple(range(1, 20)))
    with pytest.raises(RunError, match=r"(?s)most trials fail.*ValueError: no such model.*--retry-failed"):
        run(broken, storage=str(tmp_path), gangs=gangs, console=quiet)
    ended = pq.read_table(tmp_path / "hopeless" / "all" / "trials")
    assert ended.num_rows < 20
    mended = make_round("hopeless", trials_per_study=20, fault="raise", broken=(99,))
    result = run(mended, storage=str(tmp_path), gangs=gangs, console=quiet, retry_failed=True)
    assert list(outcomes(result).values()) == ["completed"] * 20


def test_qr4_a_round_run_again_with_more_trials_is_extended_and_keeps_those_it_had(gangs, make_round, tmp_path, quiet):
    few = make_round("grows", trials_per_study=2)
    before = run(few, storage=str(tmp_path), gangs=gangs, console=quiet).trials.to_pylist()
    after = run(few.extended(4), storage=str(tmp_path), gangs=gangs, console=quiet)
    assert after.trials.to_pylist()[:2] == before
    assert [trial["outcome"] for trial in after.trials.to_pylist()] == ["completed"] * 4
    assert after.store.round().budget.num_trials == after.store.studies()[0].num_trials == 4
    # The job that it came from says two; the round keeps its four.
    again = run(few, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert again.trials.equals(after.trials)
    assert again.store.status().state == "finished"


def test_sd6_a_joint_study_with_conditions_runs_and_its_page_compares_its_values(gangs, make_round, tmp_path, quiet):
    plain = make_round("joint", trials_per_study=20)
    scientific = {"x": Int(0, 19)}
    nuisance = {
        "learning_rate": plain.nuisance["learning_rate"],
        "large.dropout": Float(0.3, 0.5, when={"x": list(range(10, 20))}),  # the others keep the default, 0.2
    }
    round_ = plain.model_copy(update={"scientific": scientific, "nuisance": nuisance})
    result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    trials = result.trials.to_pylist()
    assert [trial["outcome"] for trial in trials] == ["completed"] * 20
    assert sorted(trial["values.x"] for trial in trials) == list(range(20))
    for trial in trials:
        is_large = trial["values.x"] >= 10
        assert (trial["values.large.dropout"] is not None) == is_large
        assert trial["values.dropout"] == (trial["values.large.dropout"] if is_large else 0.2)
    best = min(trials, key=lambda trial: trial["objective"])
    page = Path(result.report()).read_text()
    assert f'<td class="number main">{number_text(best["objective"])}</td>' in page
    assert [arm.arm.values for arm in result.answer.arms if arm.behind == 0] == [{"x": best["values.x"]}]
    assert f'<p class="lead">{escape(result.answer.sentence)}</p>' in page
    assert result.answer.verdict is Verdict.CANNOT_TELL  # a trial of each value is no tuning
    assert {str(escape(finding.sentence)) in page for finding in result.findings} == {True}


@pytest.mark.parametrize(
    ("finished", "is_hopeless"),
    [
        (["failed"] * 2, False),
        (["failed"] * 3, True),
        (["failed", "infeasible", "failed"], False),
        (["completed"] * 5 + ["failed"] * 5, False),
        (["completed"] * 4 + ["failed"] * 6, True),
        (["completed"] * 20 + ["failed"] * 6, True),
        (["failed"] * 2 + ["completed"] * 8, False),
    ],
)
def test_the_first_three_or_most_of_the_last_ten_failing_is_hopeless(finished, is_hopeless):
    assert Tally(num_trials=100, finished=finished).is_hopeless() == is_hopeless
