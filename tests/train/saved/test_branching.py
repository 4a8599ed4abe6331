"""Decays branched off one run at a constant rate, against the same trainings from their first step: bit for bit.

Rules CK1, CK2 and LN5.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raytune_playbook.errors import SpecError
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.storage import Storage
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Budget
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.saved.branching import KeptWhole
from raytune_playbook.train.saved.checkpoints import MODEL, TRAINING, Checkpoints
from raytune_playbook.train.trial_run import TrialRun
from tests.train.conftest import batches_of
from tests.workers import Notes

LONG, INTERVAL = 32, 4
BASE, BRANCH = "all/checkpoints/00000", "decay_steps=8/checkpoints/00000"
KINDS: dict[str, dict[str, Value]] = {
    "momentum": {"dropout": 0.3, "weight_decay": 0.01},
    "adam": {"optimizer": "adam", "learning_rate": 0.02, "dropout": 0.3, "warmup_steps": 6},
    "averaged": {"averaging": "exponential", "averaging_decay": 0.8, "averaging_start_step": 2},
    "clipped": {"optimizer": "nesterov", "clipping_norm": 0.2, "warmup_steps": 4},
}


@pytest.fixture
def trained(small):
    """A function that trains a trial from its latest checkpoint on: (how it ended, rows, weights)."""

    def run(trial, checkpoints=None):
        notes = Notes()
        end = train(TrialRun(small, trial, batches_of(small, trial, Group()), Group(), notes), checkpoints)
        return end, notes.rows, {name: tensor.clone() for name, tensor in small.models[-1].state_dict().items()}

    return run


def without_times(rows):
    return [{name: value for name, value in row.items() if name not in TIME_COLUMNS} for row in rows]


def files(folder: Path) -> dict[int, list[str]]:
    return {int(each.name): sorted(file.name for file in each.iterdir()) for each in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("total", "decay", "schedule"), [(32, 8, "linear"), (16, 10, "cosine"), (32, 3, "linear")])
def test_ck2_a_branch_is_bit_for_bit_the_training_that_it_stands_for(
    trained, make_trial, tmp_path, kind, total, decay, schedule
):
    values, storage = KINDS[kind], Storage(str(tmp_path))
    warmup = int(values.get("warmup_steps") or 0)
    step = (warmup + total - decay) // INTERVAL * INTERVAL
    constant = make_trial(**values, max_train_steps=LONG, evaluation_interval_steps=INTERVAL)
    trained(constant, Checkpoints(storage, BASE, constant, whole_steps=frozenset({step})))
    decaying = values | {"schedule": schedule, "decay_steps": decay}
    branch = make_trial(**decaying, max_train_steps=total, evaluation_interval_steps=INTERVAL)
    branch = branch.model_copy(update={"study": f"decay_steps={decay}"})
    kept = KeptWhole(storage, BASE, step)
    assert kept.copy_to(BRANCH, branch, 1)
    end, rows, weights = trained(branch, Checkpoints(storage, BRANCH, branch))
    _, whole_rows, whole_weights = trained(branch)
    assert end.first_step == step > 0  # it was not trained from its first step on
    assert without_times(rows) == without_times(whole_rows)
    assert all(torch.equal(weights[name], whole_weights[name]) for name in weights)
    assert end.training.num_steps == warmup + total
    assert end.training.best_checkpoint_step in files(tmp_path / BRANCH)  # of its own checkpoints, one that is there
    seconds = kept.seconds()
    assert seconds is not None
    assert 0 < seconds < end.training.train_s  # both count the steps before the branch


def test_ck1_whole_checkpoints_are_kept_beside_the_best_and_the_latest(trained, make_trial, tmp_path):
    trial = make_trial(max_train_steps=LONG, evaluation_interval_steps=INTERVAL)
    whole = Checkpoints(Storage(str(tmp_path)), BASE, trial, interval_steps=16, whole_steps=frozenset({4, 12}))
    end, rows, _ = trained(trial, whole)
    kept = files(tmp_path / BASE)
    assert kept[4] == kept[12] == [MODEL, TRAINING]
    plain = Checkpoints(Storage(str(tmp_path)), BRANCH, trial, interval_steps=16)
    other, other_rows, _ = trained(trial, plain)
    without = files(tmp_path / BRANCH)
    assert {step: names for step, names in kept.items() if step not in (4, 12)}.items() <= without.items()
    assert without_times(rows) == without_times(other_rows)
    assert end.outcome == other.outcome


def test_ck2_a_branch_that_has_begun_keeps_its_own_checkpoints(trained, make_trial, tmp_path):
    storage = Storage(str(tmp_path))
    trial = make_trial(max_train_steps=LONG, evaluation_interval_steps=INTERVAL)
    trained(trial, Checkpoints(storage, BASE, trial, whole_steps=frozenset({8})))
    kept = KeptWhole(storage, BASE, 8)
    assert kept.copy_to(BRANCH, trial, 1)
    before = (tmp_path / BRANCH / "8" / TRAINING).read_bytes()
    assert not KeptWhole(storage, BASE, 32).copy_to(BRANCH, trial, 1)
    assert files(tmp_path / BRANCH) == {8: [MODEL, TRAINING]}
    assert (tmp_path / BRANCH / "8" / TRAINING).read_bytes() == before
    gone = KeptWhole(storage, BASE, 12)
    assert not gone.copy_to("elsewhere", trial, 1)
    assert gone.seconds() is None


def test_whole_checkpoints_are_steps_of_evaluations():
    with pytest.raises(SpecError, match=r"whole_checkpoints: .* multiple of evaluation_interval_steps=4, but got 6"):
        Budget(num_trials=1, max_train_steps=32, evaluation_interval_steps=4, whole_checkpoints=(4, 6))
