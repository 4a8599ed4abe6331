"""How large a checkpoint would be, against the files of one that is written."""

from __future__ import annotations

import pytest

from raytune_playbook.records.storage import Storage
from raytune_playbook.study.checks.disk_price import CheckpointSize
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.saved.checkpoints import MODEL, TRAINING, Checkpoints
from raytune_playbook.train.trial_run import TrialRun
from tests.train.conftest import batches_of
from tests.workers import Notes

FOLDER = "all/checkpoints/00000"


@pytest.mark.parametrize("values", [{"optimizer": "adam"}, {"averaging": "exponential"}, {}])
def test_the_check_knows_what_checkpoints_will_take(small, make_trial, tmp_path, values):
    trial = make_trial(**values, max_train_steps=40)

    def ended(trial, checkpoints=None):
        return train(TrialRun(small, trial, batches_of(small, trial, Group()), Group(), Notes()), checkpoints)

    end = ended(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial))
    latest = tmp_path / FOLDER / "40"
    written = CheckpointSize((latest / MODEL).stat().st_size, (latest / TRAINING).stat().st_size)
    assert end.checkpoint == written
    again = ended(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial))  # goes on from its last step
    assert again.checkpoint == written

    checked = ended(make_trial(**values, max_train_steps=3, evaluation_interval_steps=3))
    expected = checked.checkpoint.after(40 - 3)
    assert expected.model_bytes == pytest.approx(written.model_bytes, abs=512)  # beside the weights a few words
    assert expected.training_bytes == pytest.approx(written.training_bytes, abs=1536)
