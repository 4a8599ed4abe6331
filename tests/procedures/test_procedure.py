"""What all procedures share, on a real cluster: one session, going on after an interruption, records, retraining."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from raytune_playbook import RunError, run
from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.engine.rounds.run import resume
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.errors import StorageError
from raytune_playbook.procedures.command import command_of, is_same_command, part_of_round
from raytune_playbook.procedures.procedure import done_before, found_before, procedure
from raytune_playbook.records.driving.requests import stop
from raytune_playbook.records.facts import MODEL, NUM_STEPS
from raytune_playbook.records.procedures import ProcedureRecord, newest_procedure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Outcome, RoundState
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective
from tests.waiting import wait_for


def place_of(tmp_path: Path, gangs) -> Place:
    return Place(str(tmp_path), Console(file=io.StringIO(), width=200, highlight=False), gangs)


def said(place: Place) -> str:
    file = place.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def sweep(
    round_: Round, place: Place, *, steps: int = 4, num_parts: int = 2, again: bool | None = None
) -> ProcedureRecord:
    """A procedure of a few parts, which comes to how many trials they have; with ``again=False`` it uses them again."""
    part = part_of_round("sweep", round_, place, {"steps": steps, "num_parts": None if num_parts == 2 else num_parts})
    if not again and (record := done_before(part, round_, place)):
        return record
    budget = round_.budget.model_copy(update={"max_train_steps": steps})
    with procedure(part, round_, place) as running:
        results = [
            running.run(
                f"size-{number}",
                round_.model_copy(update={"budget": budget, "seed": number}),
                is_used_again=again is False,
            )
            for number in range(num_parts)
        ]
        num_trials = sum(result.trials.num_rows for result in results)
        record = running.draft(f"{num_trials} trials.", bound_to=(MODEL, NUM_STEPS))
        return running.conclude(record.model_copy(update={"numbers": {"num_trials": num_trials}}))


def test_parts_share_warm_gangs_and_leave_one_record_that_is_not_made_twice(gangs, make_round, tmp_path):
    round_, place = make_round("whole"), place_of(tmp_path, gangs)
    before = [gang.num_starts for gang in gangs.facts()]
    record = sweep(round_, place)
    if before:
        assert [gang.num_starts for gang in gangs.facts()] == before  # not one start for a part
    assert record.numbers == {"num_trials": 4}
    assert record.rounds == ("whole-sweep-size-0", "whole-sweep-size-1")
    store = RoundStore(Storage(str(tmp_path)), "whole")
    assert newest_procedure(store, "sweep") == record
    assert not store.exists()
    for name in record.rounds:
        part = RoundStore(store.storage, name)
        assert part.round().part_of == part_of_round("sweep", round_, place, {"steps": 4})
        status = part.status()
        assert status is not None
        assert status.state is RoundState.FINISHED
        assert part.round().warnings == []  # rules of thumb are for rounds that somebody asks for
    assert f"{tmp_path}/whole-sweep-size-1/report/index.html" in said(place)
    assert "4 trials." in Path(tmp_path, "whole-sweep-size-1/report/index.html").read_text()

    again = sweep(round_, place)
    assert again == record
    assert "done before" in said(place)
    part = part_of_round("sweep", round_, place, {"steps": 4})
    longer = round_.budget.model_copy(update={"num_trials": 2 * round_.budget.num_trials})
    assert found_before(part, round_.model_copy(update={"budget": longer}), place) == record
    for change in ({"seed": 7}, {"objective": Objective(metric="loss", over="last")}):
        changed = round_.model_copy(update=change)  # nothing that the record is bound to, yet another question
        assert found_before(part, changed, place) is None
    other = sweep(round_, place, steps=2)  # asks for another thing, under names of its own
    assert other.number == 2
    assert other.rounds == ("whole-sweep-size-0-2", "whole-sweep-size-1-2")
    # With another option what was trained is used again, and what was not is trained and checked.
    third = sweep(round_, place, num_parts=3, again=False)
    assert third.rounds == ("whole-sweep-size-0", "whole-sweep-size-1", "whole-sweep-size-2")
    assert third.numbers == {"num_trials": 6}
    assert "whole-sweep-size-1 has trained the same before, so it is used again" in said(place)
    wider = round_.model_copy(update={"objective": Objective(metric=round_.objective.metric, goal="maximize")})
    assert sweep(wider, place, num_parts=1, again=False).rounds == ("whole-sweep-size-0-3",)
    assert sweep(round_, place, num_parts=1, again=True).rounds == ("whole-sweep-size-0-4",)
    with pytest.raises(StorageError, match=r"part of the sweep of whole.*raytune_playbook.sweep"):
        resume("whole-sweep-size-0", storage=str(tmp_path))


def test_a_procedure_that_was_stopped_goes_on_with_the_parts_that_it_had(gangs, make_round, tmp_path):
    place, round_ = place_of(tmp_path, gangs), make_round("cut", trials_per_study=6, steps=20, step_sleep_s=0.05)
    part = RoundStore(Storage(str(tmp_path)), "cut-sweep-size-1")

    def is_running() -> bool:
        return part.exists() and "completed" in part.trials()["outcome"].to_pylist()

    def stop_it() -> None:
        wait_for(is_running)
        stop(part.name, storage=str(tmp_path))

    with ThreadPoolExecutor(1) as thread:
        stopping = thread.submit(stop_it)
        with pytest.raises(RunError, match=r"stopped.*raytune_playbook.sweep\(round, steps=20\)"):
            sweep(round_, place, steps=20)
        stopping.result()
    before = {trial.id: trial for trial in trials_of(part.trials()) if trial.outcome == Outcome.COMPLETED}
    assert 0 < len(before) < 6
    record = sweep(round_, place, steps=20)
    assert record.rounds == ("cut-sweep-size-0", part.name)
    assert record.number == 1
    after = {trial.id: trial for trial in trials_of(part.trials())}
    assert len(after) == 6
    assert {id_: after[id_] for id_ in before} == before


def test_ad1_points_are_retrained_with_other_seeds_and_the_round_stays_as_it_was(gangs, make_round, tmp_path):
    round_, place = make_round("again", trials_per_study=3), place_of(tmp_path, gangs)
    first = run(round_, storage=str(tmp_path), gangs=gangs, console=place.console)
    before = trials_of(first.trials)
    status = first.store.status()
    part = part_of_round("variance", round_, place)
    with procedure(part, round_, place) as running:
        retrained = trials_of(running.retrain([("all", 1)], 2).trials)
        more = running.retrain([("all", 1), ("all", 0)], 3)
        with pytest.raises(StorageError, match="no all/7"):
            running.retrain([("all", 7)], 1)
    assert more.store.status() == status
    trials = {(trial.index, trial.repeat): trial for trial in trials_of(more.trials)}
    assert sorted(trials) == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]
    assert [trials[trial.index, 0] for trial in before] == list(before)
    assert {trial.values["x"] for (index, _), trial in trials.items() if index == 1} == {trials[1, 0].values["x"]}
    objectives = {trial.objective for (index, _), trial in trials.items() if index == 1}
    assert len(objectives) == 4  # each has random streams of its own
    assert all(trials[trial.index, trial.repeat] == trial for trial in retrained)  # kept, not made again
    assert len(retrained) == 5
    answer = more.answer
    assert all(trial.repeat == 0 for trial in answer.arms[0].arm.ranked)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("raytune-playbook batch-size a/job.py --max 8", "raytune-playbook batch-size /b/a/job.py --max 8", True),
        ("raytune-playbook batch-size job.py --max 8", "raytune-playbook batch-size job.py", False),
        ("raytune-playbook stability round", "raytune-playbook variance round", False),
        ("raytune_playbook.stability(round)", "raytune_playbook.stability(round, at=2)", False),
    ],
)
def test_commands_are_the_same_wherever_a_job_file_is_named_from(one, other, same):
    assert is_same_command(one, other) is same


def test_a_command_says_what_was_asked_for_and_nothing_else():
    options = {"max_size": 64, "target": 0.25, "again": True, "dry_run": False, "name": None}
    command = command_of("batch-size", "my job.py", "rounds", options)
    assert command == "raytune-playbook batch-size 'my job.py' --max-size 64 --target 0.25 --again"
    assert command_of("variance", "digits", "s3://a/b").endswith("variance digits --storage s3://a/b")
