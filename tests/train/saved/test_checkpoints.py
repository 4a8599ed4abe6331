"""Checkpoints of one process: what is kept, what a killed writer leaves, and what is never loaded.

Rules CK1, CK2, CK3, SC2. Several processes are in test_resume.py.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
import torch

from raytune_playbook.errors import SpecError, StorageError, StorageFailure
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.storage import Storage
from raytune_playbook.study.settings import Budget, Objective
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.model import initial_model
from raytune_playbook.train.saved.checkpoints import MODEL, TRAINING, Checkpoints, best_steps, kept_steps, read_weights
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Values
from tests.train.conftest import batches_of
from tests.workers import Notes

FOLDER = "all/checkpoints/00000"
EVALUATED = (0, 8, 16, 20)
KIND = {"optimizer": "adam", "dropout": 0.3, "schedule": "cosine", "warmup_steps": 0}


class Killed(BaseException):
    """The process is gone."""


class Mortal(Notes):
    """Dies when a step is begun."""

    def __init__(self, dies_at: int | None = None) -> None:
        super().__init__()
        self._dies_at = dies_at

    def stepped(self, step: int) -> None:
        super().stepped(step)
        if step == self._dies_at:
            raise Killed


class Dying(Storage):
    """Dies before the n-th change."""

    def __init__(self, uri: str, num_changes: int) -> None:
        super().__init__(uri)
        self.num_changes_left = num_changes

    def _change(self) -> None:
        if self.num_changes_left == 0:
            raise Killed
        self.num_changes_left -= 1

    def write(self, path: str, content: bytes) -> None:
        self._change()
        super().write(path, content)

    def delete(self, path: str) -> None:
        self._change()
        super().delete(path)


@pytest.fixture
def attempt(small):
    """A function that trains a trial from its latest checkpoint on: (how it ended, rows, weights)."""

    def run(trial, checkpoints, dies_at=None, workload=small):
        data = batches_of(workload, trial, Group())
        notes, end = Mortal(dies_at), None
        with contextlib.suppress(Killed):
            end = train(TrialRun(workload, trial, data, Group(), notes), checkpoints)
        state = {name: tensor.clone() for name, tensor in workload.models[-1].state_dict().items()}
        return end, notes.rows, state

    return run


def without_times(rows):
    return [{name: value for name, value in row.items() if name not in TIME_COLUMNS} for row in rows]


def assert_same(one, other):
    assert without_times(one[1]) == without_times(other[1])
    assert one[2].keys() == other[2].keys()
    assert all(torch.equal(tensor, other[2][name]) for name, tensor in one[2].items())


def files(folder: Path) -> dict[int, list[str]]:
    return {int(step.name): sorted(f.name for f in step.iterdir()) for step in (folder / FOLDER).iterdir()}


# ------------------------------------------------------------------ which are kept


@pytest.mark.parametrize(
    ("values", "objective", "expected"),
    [
        ([3.0, 1.0, 2.0, 1.0], {}, [8, 20, 16]),  # ties to the earlier
        ([3.0, 1.0, 2.0, 1.0], {"goal": "maximize"}, [0, 16, 8]),
        ([3.0, math.nan, None, math.inf], {}, [0]),
        ([math.nan] * 4, {}, []),
        ([3.0, 1.0, 2.0, 1.5], {"over": "last"}, [20, 16, 8]),
    ],
)
def test_ck1_the_best_are_chosen_in_retrospect_as_the_objective_is(values, objective, expected):
    evaluated = dict(zip(EVALUATED, values, strict=True))
    assert best_steps(evaluated, Objective(**objective), 3) == expected
    assert best_steps(evaluated, Objective(**objective), 1) == expected[:1]


@pytest.mark.parametrize("num_best", [1, 2, 9])
def test_ck1_ck3_the_n_best_evaluations_and_the_latest_have_their_checkpoints(attempt, make_trial, tmp_path, num_best):
    trial = make_trial(**KIND, max_train_steps=60, evaluation_interval_steps=4)
    end, rows, weights = attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial, num_best=num_best))
    errors = {row["step"]: row["error"] for row in rows if row["split"] == "validation"}
    best = sorted(errors, key=lambda step: (errors[step], step))[:num_best]
    assert len(set(errors.values())) < len(errors)  # there are ties
    kept = files(tmp_path)
    assert sorted(kept) == sorted({*best, 60})
    assert kept.pop(60) == [MODEL, TRAINING]
    assert all(names == [MODEL] for names in kept.values())
    assert end.training.best_checkpoint_step == best[0]
    assert all(
        torch.equal(tensor, weights[name]) for name, tensor in read_weights(Storage(str(tmp_path)), FOLDER, 60).items()
    )


def test_ck3_with_a_coarser_interval_the_best_of_those_that_there_are(attempt, make_trial, tmp_path):
    trial = make_trial(**KIND, max_train_steps=60, evaluation_interval_steps=4)
    checkpoints = Checkpoints(Storage(str(tmp_path)), FOLDER, trial, num_best=9, interval_steps=16)
    end, rows, _ = attempt(trial, checkpoints)
    errors = {row["step"]: row["error"] for row in rows if row["split"] == "validation"}
    assert kept_steps(Storage(str(tmp_path)), FOLDER) == [0, 16, 32, 48, 60]
    assert end.training.best_checkpoint_step == min((0, 16, 32, 48, 60), key=lambda step: (errors[step], step))
    with pytest.raises(SpecError, match="must be a multiple of evaluation_interval_steps, but got 6 with 4"):
        Budget(num_trials=1, max_train_steps=60, evaluation_interval_steps=4, checkpoint_interval_steps=6)


def test_ck1_a_checkpoint_gives_the_metrics_of_its_evaluation(attempt, small, make_trial, tmp_path):
    trial = make_trial(**KIND)
    end, rows, _ = attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial))
    model = initial_model(small, trial, Values(trial.values), Group()).module
    model.load_state_dict(read_weights(Storage(str(tmp_path)), FOLDER, end.training.best_checkpoint_step))
    batch = {name: torch.from_numpy(column) for name, column in small.datasets()["validation"].items()}
    loss = small.loss(model.eval(), batch, Values(trial.values)).mean().item()
    (row,) = (row for row in rows if row["split"] == "validation" and row["step"] == end.training.best_checkpoint_step)
    assert loss == pytest.approx(row["loss"], rel=1e-6)
    with pytest.raises(StorageError, match=r"A checkpoint of step 3 must be in .*, but the steps there are: "):
        read_weights(Storage(str(tmp_path)), FOLDER, 3)


# ------------------------------------------------------------------ going on


def test_ck2_a_trial_cut_off_at_any_step_goes_on_bit_for_bit(attempt, make_trial, tmp_path):
    trial = make_trial(**KIND)
    whole = attempt(trial, None)
    for step in range(20):
        storage = Storage(str(tmp_path / str(step)))
        cut = attempt(trial, Checkpoints(storage, FOLDER, trial), dies_at=step)
        assert cut[0] is None
        resumed = attempt(trial, Checkpoints(storage, FOLDER, trial))
        assert_same(resumed, whole)
        first_step = max(evaluated for evaluated in EVALUATED if evaluated <= step)
        assert (resumed[0].first_step, resumed[0].training.num_steps) == (first_step, 20)
        # What had been measured up to the checkpoint is kept with its times, which no second run could repeat.
        num_kept = sum(row["step"] <= first_step for row in cut[1])
        assert resumed[1][:num_kept] == cut[1][:num_kept]


def test_ck2_a_trial_that_was_cut_off_after_its_last_checkpoint_ends_the_same(attempt, make_trial, tmp_path):
    trial = make_trial(learning_rate=30.0, divergence_factor=1.0001)  # as told by the first and last losses
    first = attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial))
    again = attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial))
    assert_same(again, first)
    assert (again[0].outcome, again[0].reason) == (first[0].outcome, first[0].reason)
    assert again[0].outcome == "infeasible"
    assert again[0].reason.startswith("diverged")
    assert again[0].first_step == 20
    assert again[0].training.best_checkpoint_step == first[0].training.best_checkpoint_step
    assert again[0].training.time_by_part.wait_s == first[0].training.time_by_part.wait_s
    assert again[0].training.train_s >= first[0].training.time_by_part.wait_s


def test_ck2_a_writer_killed_before_any_change_leaves_a_whole_checkpoint(attempt, make_trial, tmp_path):
    trial = make_trial(**KIND)
    whole, first_steps, num_changes = attempt(trial, None), [], 0
    while True:
        uri = str(tmp_path / str(num_changes))
        if attempt(trial, Checkpoints(Dying(uri, num_changes), FOLDER, trial))[0] is not None:
            break  # it took no more changes than these
        resumed = attempt(trial, Checkpoints(Storage(uri), FOLDER, trial))
        assert_same(resumed, whole)
        first_steps.append(resumed[0].first_step)
        assert files(tmp_path / str(num_changes))[20] == [MODEL, TRAINING]
        num_changes += 1
    assert first_steps == sorted(first_steps)
    assert set(first_steps) == set(EVALUATED)


def test_what_a_killed_writer_left_half_written_is_cleared_away(attempt, make_trial, tmp_path):
    trial = make_trial(**KIND)
    attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial, num_best=9), dies_at=18)
    for step in (0, 16):
        (tmp_path / FOLDER / str(step) / f".{MODEL}.0123.tmp").write_bytes(b"PK")
    attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial, num_best=9))
    assert files(tmp_path) == {0: [MODEL], 8: [MODEL], 16: [MODEL], 20: [MODEL, TRAINING]}


def test_writing_checkpoints_changes_no_later_bit(attempt, make_trial, tmp_path):
    trial = make_trial(**KIND, evaluation_interval_steps=1)
    without = attempt(trial, None)
    assert_same(attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial, num_best=3)), without)


# ------------------------------------------------------------------ what is never loaded


@pytest.mark.parametrize(
    "other",
    [{"schedule": "linear"}, {"index": 1}, {"repeat": 1}, {"max_train_steps": 40}, {"evaluation_interval_steps": 4}],
    ids=str,
)
def test_sc2_the_checkpoint_of_another_trial_is_refused(attempt, make_trial, tmp_path, other):
    trial, another = make_trial(**KIND), make_trial(**KIND | other)
    attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial), dies_at=9)
    before = files(tmp_path)
    with_query = Storage(f"file://{tmp_path}?region=here")
    sentence = r"A checkpoint is that of one trial, but .*00000/8\?region=here was written with other"
    with pytest.raises(StorageError, match=sentence):
        attempt(another, Checkpoints(with_query, FOLDER, another))
    assert files(tmp_path) == before


def test_qr5_another_objective_goes_on_and_chooses_among_what_is_kept(attempt, make_trial, tmp_path):
    trial = make_trial(**KIND)
    attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial), dies_at=18)
    rejudged = trial.model_copy(update={"objective": Objective(metric="loss", goal="maximize")})
    end, rows, _ = attempt(rejudged, Checkpoints(Storage(str(tmp_path)), FOLDER, rejudged))
    assert end.first_step == 16
    losses = {row["step"]: row["loss"] for row in rows if row["split"] == "validation"}
    kept = kept_steps(Storage(str(tmp_path)), FOLDER)
    assert end.training.best_checkpoint_step == max(kept, key=losses.__getitem__)


def test_checkpoints_of_other_code_are_discarded_with_a_warning(attempt, make_trial, tmp_path, caplog):
    trial = make_trial(**KIND)
    whole = attempt(trial, None)
    attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial, code="before"), dies_at=18)
    cut = attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial, code="after"), dies_at=9)
    assert "the workload's source has changed, so the trial starts at step 0" in caplog.text
    assert cut[0] is None
    resumed = attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial, code="after"))
    assert resumed[0].first_step == 8
    assert_same(resumed, whole)


def test_a_storage_that_takes_no_checkpoint_is_one_sentence(attempt, make_trial, tmp_path):
    trial = make_trial()
    (tmp_path / "all").write_text("a file where a folder is needed")
    with pytest.raises(StorageFailure, match=r"Checkpoints must be writable, but .*; make room there, or allow access"):
        attempt(trial, Checkpoints(Storage(str(tmp_path)), FOLDER, trial))
