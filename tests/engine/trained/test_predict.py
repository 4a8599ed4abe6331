"""Kept models on all validation examples, and on any data, without a cluster (rule EV8)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from raytune_playbook.cli import main
from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.gang.messages import AttemptEnd
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.jobs.provenance import provenance_of, round_record
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, NewMeasurements
from raytune_playbook.engine.trained.load import load_model
from raytune_playbook.engine.trained.predict import read_examples
from raytune_playbook.errors import SpecError, StorageError
from raytune_playbook.records.predictions import predictions_folder, read_predictions, write_predictions
from raytune_playbook.records.store import RoundStore, Storage
from raytune_playbook.search.suggest import suggest
from raytune_playbook.train.checkpoints import Checkpoints, checkpoints_folder
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.prediction import examples_table
from raytune_playbook.train.trial_run import TrialRun

JOB = """
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from raytune_playbook import Budget, Discrete, Objective, Round, Workload


class Pairs(Workload):
    def defaults(self):
        return {"batch_size": 16}

    def datasets(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(90, 2, 3)).astype(np.float32)
        columns = {"x": x, "label": (x[:, 0, 0] + rng.normal(size=90) > 0).astype(np.int64)}
        return {"train": columns, "validation": {name: column[:41] for name, column in columns.items()}}

    def model(self, values):
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Linear(6, 2))

    def loss(self, model, batch, values):
        return F.cross_entropy(model(batch["x"]), batch["label"], reduction="none")

    def metrics(self, model, batch, values):
        return {"error": (model(batch["x"]).argmax(1) != batch["label"]).float()}

    def predictions(self, model, batch, values):
        logits = model(batch["x"])
        return {"label": logits.argmax(1), "logits": logits}


round = Round(
    name="pairs", goal="Does it predict?", workload=Pairs(), nuisance={"learning_rate": Discrete([0.1, 0.2])},
    fixed={"evaluation_sample": 6}, objective=Objective(metric="error"),
    budget=Budget(num_trials=2, max_train_steps=20, evaluation_interval_steps=4, num_best_checkpoints=3),
)
"""


SPLITS = ("validation", "validation_full")


class Recording:
    """A watcher that has the driver's recorder write what it is told."""

    def __init__(self, recorder, key):
        self._recorder, self._key = recorder, key

    def new_measurements(self, rows):
        self._recorder.handle(NewMeasurements(self._key, 1, tuple(rows)))

    def stepped(self, step):
        pass

    def evaluated(self):
        pass

    def wants_stop(self):
        return False


@pytest.fixture
def store(tmp_path: Path) -> RoundStore:
    """A round of which one trial was trained, as a worker and a driver would."""
    file = tmp_path / "pairs_job.py"
    file.write_text(JOB)
    job = load_job(str(file))
    store = RoundStore(Storage(str(tmp_path / "rounds")), "pairs")
    record = round_record(job.round, provenance_of(job, store.storage.uri))
    store.create(record, job.round.studies, notes="", diff="")
    trial = suggest(job.round.studies[0], 0)
    workload = job.round.workload
    data = SharedBatches(TrialExamples(workload.datasets()), trial, BatchShare(16), torch.device("cpu"))
    of_round, folder = Storage(store.uri), predictions_folder(trial.study, trial.key)
    checkpoints = Checkpoints(of_round, checkpoints_folder(trial.study, trial.key), trial, num_best=3)
    recorder, key = Recorder(store, job.round.studies), (trial.study, trial.key)
    recorder.handle(AttemptStarted(key, 1, "gang-1"))

    def save(step, examples):
        write_predictions(of_round, folder, step, examples_table(examples))

    end = train(TrialRun(workload, trial, data, Group(), Recording(recorder, key)), checkpoints, save)
    recorder.handle(AttemptEnded(key, 1, AttemptEnd("completed", end), is_final=True))
    return store


def write_examples(path: Path, num: int) -> np.ndarray:
    """Examples without labels, but with a name, in two files of several row groups."""
    path.mkdir()
    x = np.random.default_rng(num).normal(size=(num, 2, 3)).astype(np.float32)
    for i, rows in enumerate(np.array_split(np.arange(num), 2)):
        table = examples_table({"x": x[rows]}).append_column("name", pa.array([f"example {row}" for row in rows]))
        pq.write_table(table, path / f"{i}.parquet", row_group_size=50)
    return x


@pytest.mark.parametrize("num", [1, 300, 1001])
def test_ev8_predict_writes_what_the_kept_model_says_of_every_example(store, tmp_path, capsys, num):
    x = write_examples(tmp_path / "data", num)
    output = tmp_path / "out" / "predictions.parquet"
    arguments = ["predict", "pairs", "0", "--data", str(tmp_path / "data"), "--output", str(output)]
    assert main([*arguments, "--storage", str(store.storage.uri)]) == 0
    assert capsys.readouterr().out == f"{num} predictions stand in {output}.\n"
    table = pq.read_table(output)
    with torch.no_grad():
        exact = load_model(store, "0")(torch.from_numpy(x)).numpy()
    assert table["row"].to_pylist() == list(range(num))
    np.testing.assert_allclose(np.array(table["logits"].to_pylist()), exact, rtol=1e-5, atol=1e-6)
    assert table["label"].to_pylist() == exact.argmax(1).tolist()


def test_ev4_saved_predictions_are_those_of_the_kept_model(store):
    trial = suggest(store.studies()[0], 0)
    saved = read_predictions(Storage(store.uri), predictions_folder(trial.study, trial.key))
    assert saved["step"].unique().to_pylist() == [0, 4, 8, 12, 16, 20]
    last = saved.filter(pa.compute.equal(saved["step"], 20))
    workload = load_job(store.round().job).round.workload
    x = torch.from_numpy(workload.datasets()["validation"]["x"][last["row"].to_numpy()])
    with torch.no_grad():
        exact = load_model(store, "0", step=20)(x).numpy()
    np.testing.assert_allclose(np.array(last["predicted.logits"].to_pylist()), exact, rtol=1e-5, atol=1e-6)
    wrong = np.array(last["predicted.label"]) != np.array(last["label"])
    assert last["error"].to_pylist() == wrong.astype(float).tolist()


def test_ev8_kept_checkpoints_are_scored_on_all_validation_examples_and_the_best_of_these_is_chosen(store):
    measurements, (trial,) = store.measurements("all", "00000"), store.trials("all").to_pylist()
    rows = {split: measurements.filter(pa.compute.equal(measurements["split"], split)) for split in SPLITS}
    validation = load_job(store.round().job).round.workload.datasets()["validation"]
    errors = {}
    for row in rows["validation_full"].to_pylist():
        with torch.no_grad():
            logits = load_model(store, "0", step=row["step"])(torch.from_numpy(validation["x"]))
        errors[row["step"]] = (logits.argmax(1).numpy() != validation["label"]).mean()
        assert (row["error"], row["num_examples"]) == (errors[row["step"]], 41)
    assert 20 in errors and len(errors) in (3, 4)  # the latest, and the three that were best on the sample
    assert set(rows["validation"]["num_examples"].to_pylist()) == {6}
    assert trial["objective"] == min(errors.values())
    assert trial["best_step"] == trial["best_checkpoint_step"]
    assert errors[trial["best_step"]] == trial["objective"]
    # By the sample alone another one would have been chosen.
    of_sample = dict(zip(rows["validation"]["step"].to_pylist(), rows["validation"]["error"].to_pylist(), strict=True))
    assert min(of_sample, key=of_sample.__getitem__) != trial["best_step"]


@pytest.mark.parametrize(
    ("data", "words"),
    [("nowhere", "--data must be readable Parquet"), ("empty", "--data must hold examples, but")],
)
def test_data_that_cannot_be_predicted_is_one_sentence(store, tmp_path, capsys, data, words):
    (tmp_path / "empty").mkdir()
    pq.write_table(examples_table({"x": np.zeros((0, 2, 3), np.float32)}), tmp_path / "empty" / "0.parquet")
    arguments = ["predict", "pairs", "0", "--data", str(tmp_path / data), "--output", str(tmp_path / "out.parquet")]
    assert main([*arguments, "--storage", str(store.storage.uri)]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"x": [[1.0], [1.0, 2.0]]}, "the lists of column 'x' must have one length"),
        ({"x": [[1.0], [1.0, 2.0, 3.0]]}, "the lists of column 'x' must have one length"),
        ({"x": [1.0, None]}, "column 'x' must have a value for every example"),
        ({"x": ["a", "b"]}, "must hold columns of numbers"),
    ],
)
def test_columns_that_are_no_arrays_are_one_sentence(tmp_path, columns, words):
    pq.write_table(pa.table(columns), tmp_path / "0.parquet")
    with pytest.raises(SpecError, match=words):
        list(read_examples(str(tmp_path)))


def test_lists_of_one_length_are_arrays(tmp_path):
    pq.write_table(
        pa.table({"x": [[[1, 2]], [[3, 4]]], "flag": [True, False], "text": ["a", "b"]}), tmp_path / "0.parquet"
    )
    (columns,) = read_examples(str(tmp_path / "0.parquet"))
    assert {name: column.tolist() for name, column in columns.items()} == {
        "x": [[[1, 2]], [[3, 4]]],
        "flag": [True, False],
    }


def test_files_that_are_no_parquet_are_one_sentence(tmp_path):
    (tmp_path / "0.parquet").write_bytes(hashlib.sha256(b"").digest())
    with pytest.raises(StorageError, match="--data must be readable Parquet"):
        list(read_examples(str(tmp_path)))
