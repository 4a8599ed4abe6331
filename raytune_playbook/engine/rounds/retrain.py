"""Retraining points of a round with other seeds: how much of a difference is chance (rule AD1, trial variance).

A retraining is a repeat of a trial in the same study, with the same values, examples and code and all random streams of
its own. Its record stands beside that of the first run; no search, plot or answer takes it for another point.
"""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.engine.cluster.loss import driver_gone, told_if_killed
from raytune_playbook.engine.driver.driver import Driver, HeldRound, TrialsLeft
from raytune_playbook.engine.driver.progress import ProgressLine
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.driver.standing import finished
from raytune_playbook.engine.jobs.preflight import workload_of
from raytune_playbook.engine.jobs.to_workers import pack
from raytune_playbook.engine.rounds.examples import examples_of
from raytune_playbook.engine.rounds.found_examples import find_before_ray
from raytune_playbook.engine.rounds.opening import context_of, logged, opened, session_of
from raytune_playbook.engine.rounds.recorded import as_recorded
from raytune_playbook.engine.rounds.running import Place, RunningRound
from raytune_playbook.engine.tune.round_search import PlannedTrial, repeats
from raytune_playbook.errors import StorageError
from raytune_playbook.records.driving.claims import claimed, driving
from raytune_playbook.records.driving.requests import clear_requests
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundStatus
from raytune_playbook.report.page.page import write_page
from raytune_playbook.study.round import Round


def retrain(round_: Round, points: Sequence[tuple[str, int]], num_repeats: int, place: Place) -> RoundStatus:
    """Retrain points of a round until each has so many repeats; those that were made before are kept.

    Args:
        round_: that was run.
        points: (study, index) of each; all are trained once before any is trained again.
        num_repeats: of each point, its first run not counted.
        place: where the round was recorded.

    Returns:
        How that ended, as finished or stopped; the round's own status stays what it was.

    Raises:
        InputError: there is no such round or point, or its examples or code cannot be had.
        RunError: a retraining cannot be run.
    """
    store = RoundStore(Storage(place.storage), round_.name)
    round_ = as_recorded(store, round_)
    studies = {study.name: study for study in round_.studies}
    for study, index in points:
        if study not in studies or not 0 <= index < studies[study].num_trials:
            raise StorageError(f"A point to retrain is one of the round's, but {round_.name!r} has no {study}/{index}.")
    packed, console = pack(workload_of(round_)), place.console
    store.storage.check_writable()
    with claimed(driving(store), say=lambda sentence: console.print(sentence, soft_wrap=True)) as claim:
        clear_requests(store)
        before, found = store.status(), find_before_ray(round_)
        recorder = Recorder(store, round_.studies, budget=round_.budget, is_of_repeats=True)
        todo = repeats([(studies[study], index) for study, index in points], num_repeats, recorder.done())
        if not todo:
            return finished(recorder.tally)
        gone = driver_gone(f"retrained trials of {round_.name!r}", "Those that ended are kept; run it again to go on.")
        try:
            with told_if_killed(gone), logged(store), session_of(round_, place.gangs, place.address) as session:
                running = RunningRound(round_, packed, session, console, found, says_examples=False)
                status = _retrain(running, HeldRound(store, claim), recorder, todo)
        finally:
            if before is not None:  # that of the round, whose own trials nobody has touched
                store.write_status(before)
    write_page(store)
    return status


def _retrain(running: RunningRound, held: HeldRound, recorder: Recorder, todo: list[PlannedTrial]) -> RoundStatus:
    round_, store = running.round, held.store
    context = context_of(running, held, examples_of(running, store.storage, store.round().examples))
    with opened(running.session, context, num_left=len(todo)):
        recorder.tally.num_trials = recorder.tally.num() + len(todo)
        with ProgressLine(running.console, round_.objective) as progress:
            left = TrialsLeft(context, todo, round_.budget, {})
            return Driver(running.session, left, held, recorder, progress).run()
