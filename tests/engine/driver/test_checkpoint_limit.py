"""Deleting checkpoints while a round runs, and after a driver was killed in the middle of it; without a cluster."""

from __future__ import annotations

import pytest

from raytune_playbook import Round
from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.engine.driver.checkpoint_limit import CheckpointLimit
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName, Cause
from raytune_playbook.engine.jobs.provenance import provenance_of, round_record
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, NewMeasurements
from raytune_playbook.engine.trained.load import recorded
from raytune_playbook.errors import StorageError
from raytune_playbook.records.driving.claims import ClaimLostError
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Training
from raytune_playbook.report.formatting import deleted_checkpoints_text
from raytune_playbook.report.page.page import write_page
from raytune_playbook.study.checks.disk_price import CheckpointSize
from raytune_playbook.study.settings import GIB, Budget
from raytune_playbook.train.end import End

SIZE = CheckpointSize(model_bytes=100, training_bytes=30)
KEPT, PEAK = 2 * 100 + 30, 3 * 100 + 2 * 30


@pytest.fixture
def round_(make_round) -> Round:
    return make_round("limited", trials_per_study=4)


@pytest.fixture
def store(round_, tmp_path) -> RoundStore:
    created = RoundStore(Storage(str(tmp_path)), round_.name)
    created.create(round_record(round_, provenance_of(None, str(tmp_path))), round_.studies, notes="", diff="")
    return created


def limited(round_: Round, num_bytes: float) -> Budget:
    return round_.budget.model_copy(update={"max_checkpoint_gib": num_bytes / GIB})


class Run:
    """A driver's part in a round: records of trials, and the limit, after each of which the checkpoints are there."""

    def __init__(self, store: RoundStore, round_: Round, num_bytes: float) -> None:
        budget = limited(round_, num_bytes)
        self.store, self.recorder = store, Recorder(store, round_.studies, budget=budget)
        self.limit = CheckpointLimit(store, self.recorder, budget, running_bytes=PEAK)

    def end(self, index: int, loss: float, cause: Cause = Cause.COMPLETED) -> None:
        name = AttemptName("r", ("all", f"{index:05d}"), 1)
        self.store.storage.write(f"{self.store.name}/all/checkpoints/{index:05d}/4/model.pt", b"")
        end = End(cause, Training(4, 7, 1.0, best_checkpoint_step=4), checkpoint=SIZE)
        events = [
            AttemptStarted(name, "gang-1"),
            NewMeasurements(name, ({"step": 4, "split": "validation", "loss": loss},)),
            AttemptEnded(name, AttemptEnd(cause, end), is_final=cause is not Cause.STOPPED),
        ]
        for event in events:
            self.recorder.handle(event)
            self.limit.heard(event)

    def keep(self, num_gangs: int = 1) -> list[str]:
        self.limit.keep(num_gangs, lambda: None)
        return self.there()

    def there(self) -> list[str]:
        return self.store.storage.folders(f"{self.store.name}/all/checkpoints")


def test_ck1_the_worst_go_when_there_is_no_room_for_them_beside_those_that_run(round_, store):
    run = Run(store, round_, PEAK + 2 * KEPT)
    for index, loss in enumerate((0.3, 0.1)):
        run.end(index, loss)
        run.keep()
    assert run.there() == ["00000", "00001"]
    run.end(2, 0.2)
    assert run.keep() == ["00001", "00002"]
    assert run.keep(num_gangs=2) == ["00001", "00002"]  # no trial has ended since
    run.end(3, 0.4)
    assert run.keep(num_gangs=2) == ["00001"]  # for a second one that runs there was none
    rows = store.trials().to_pylist()
    assert [row["checkpoints_deleted"] for row in rows] == [True, False, True, True]
    assert [row["checkpoint_bytes"] for row in rows] == [KEPT] * 4
    assert [row["outcome"] for row in rows] == ["completed"] * 4

    with pytest.raises(StorageError, match=r"those of 'all/0' of .* were deleted, for better trials' to have room"):
        recorded(store, "all/0")
    assert recorded(store, "all/1")[1] == 4
    assert deleted_checkpoints_text(trials_of(store.trials()), limited(round_, GIB / 2)) == (
        "Of 3 of 4 trials the checkpoints were deleted, for others to have room within "
        "Budget(max_checkpoint_gib=0.5): all/00000, all/00002, all/00003. Their curves and predictions are kept."
    )
    write_page(store)
    page = (store.storage.read(f"{store.name}/report/index.html") or b"").decode()
    assert 'id="deleted-checkpoints">Of 3 of 4 trials' in page
    assert page.count('"is_without_checkpoints":true') == 3


def test_what_a_killed_driver_left_is_deleted_by_the_next_one_also_of_records_that_were_put_together(round_, store):
    first = Run(store, round_, PEAK + 2 * KEPT)
    for index, loss in enumerate((0.3, 0.1, 0.2)):
        first.end(index, loss)
    first.recorder.compact(lambda: None, is_end=True)
    next_ = Run(store, round_, PEAK + 2 * KEPT)
    with pytest.raises(ClaimLostError):
        next_.limit.keep(1, lost)
    assert next_.there() == ["00000", "00001", "00002"]
    assert next_.keep() == ["00001", "00002"]
    before = store.trials().to_pylist()
    assert [row["checkpoints_deleted"] for row in before] == [True, False, False]
    next_.recorder.compact(lambda: None, is_end=True)
    assert store.trials().to_pylist() == before


def test_a_failed_trial_that_is_to_run_again_keeps_what_it_goes_on_from_and_counts_anew(round_, store):
    first = Run(store, round_, PEAK + 2 * KEPT)
    first.end(0, 0.3)
    first.end(1, 0.2, Cause.EXCEPTION)
    again = Run(store, round_, PEAK + KEPT)
    again.recorder.begin_again([("all", "00001")])
    assert again.recorder.tally.num() == 1
    assert again.keep() == ["00000", "00001"] == first.there()
    assert store.trials().to_pylist()[1]["outcome"] == "failed"  # until it begins
    again.end(1, 0.1)
    assert again.keep() == ["00001"]
    assert recorded(store, "all/1")[1] == 4
    assert again.recorder.tally.num() == 2


def lost() -> None:
    raise ClaimLostError("another driver runs the round")


def test_what_a_trial_goes_on_from_is_kept_whatever_it_takes(round_, store):
    run = Run(store, round_, PEAK)
    run.end(0, 0.3)
    run.end(1, 0.5, Cause.STOPPED)
    run.end(2, 0.4)
    assert run.keep() == ["00000", "00001"]
