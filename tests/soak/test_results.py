"""The hash over a round's results: of what its specification determines, and of nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from tests.benchmarks.report_scale import record_of, study_of
from tests.soak.many import events_of, rows_of
from tests.soak.results import Ended, results_hash


def written(folder: Path, *, num: int = 3, loss_of_the_last: float | None = None, order: int = 1) -> RoundStore:
    """A round of ``num`` trials that ended in the order of their indices, or the other way round."""
    study = study_of("relu", 3)
    store = RoundStore(Storage(str(folder)), "large")
    store.create(record_of([study]), [study], notes="", diff="")
    recorder = Recorder(store, [study])
    for index in [*range(num)][::order]:
        rows = rows_of(index)
        if index == num - 1 and loss_of_the_last is not None:
            rows[0] = {**rows[0], "loss": loss_of_the_last}
        for event in events_of(study, index, rows):
            recorder.handle(event)
    recorder.close()
    return store


def test_it_is_of_results_and_not_of_when_and_where_they_were_made(tmp_path):
    found = results_hash(written(tmp_path / "a"))
    assert results_hash(written(tmp_path / "b", order=-1)) == found
    assert results_hash(written(tmp_path / "c", num=2)) != found
    exact = float(rows_of(2)[0]["loss"] or 0)
    assert results_hash(written(tmp_path / "d", loss_of_the_last=exact)) == found
    assert results_hash(written(tmp_path / "e", loss_of_the_last=exact * (1 + 2**-52))) != found


def test_a_trial_that_has_ended_and_changes_or_vanishes_is_named(tmp_path):
    store = written(tmp_path / "a")
    ended = Ended(store, {})
    assert (ended.look(), ended.look(), ended.num) == ([], [], 3)
    files = tmp_path / "a" / "large" / "activation=relu" / "trials"
    other = written(tmp_path / "b", loss_of_the_last=0.5)
    shutil.copytree(
        Path(other.uri) / "activation=relu" / "measurements", files.parent / "measurements", dirs_exist_ok=True
    )
    assert ended.look() == ["trial activation=relu/00002 has changed or is gone"]
    (files / "00001.parquet").unlink()
    assert "trial activation=relu/00001 has changed or is gone" in ended.look()


@pytest.mark.parametrize("broken", ["trials/00001.parquet"])
def test_a_record_that_cannot_be_read_is_not_passed_over(tmp_path, broken):
    store = written(tmp_path)
    (tmp_path / "large" / "activation=relu" / broken).write_bytes(b"cut off")
    with pytest.raises(Exception, match="cannot be read"):
        Ended(store, {}).look()
