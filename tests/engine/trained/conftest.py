"""Rounds with one trial that was trained as a worker and a driver would, without a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.columns import concatenated
from raytune_playbook.data.datasets import find_sources
from raytune_playbook.data.decode import Recipe
from raytune_playbook.data.order import BatchShare
from raytune_playbook.data.reading import Divided, read_split
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.jobs.provenance import provenance_of, round_record
from raytune_playbook.engine.jobs.to_workers import pack
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, NewMeasurements
from raytune_playbook.records.predictions import predictions_folder, write_predictions
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import ColumnRecord, ExamplesRecord
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.datasets import Split
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.prediction import examples_table
from raytune_playbook.train.saved.checkpoints import Checkpoints, checkpoints_folder
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


class Recording:
    """A watcher that has the driver's recorder write what it is told."""

    def __init__(self, recorder, name):
        self._recorder, self._name = recorder, name

    def new_measurements(self, rows):
        self._recorder.handle(NewMeasurements(self._name, tuple(rows)))

    def stepped(self, step):
        pass

    def evaluated(self):
        pass

    def wants_stop(self):
        return False


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., RoundStore]:
    """Makes a round of a job's text, of which one trial was trained."""

    def make(text: str = JOB, *, records_columns: bool = True) -> RoundStore:
        file = tmp_path / "a_job.py"
        file.write_text(text)
        job = load_job(str(file))
        store = RoundStore(Storage(str(tmp_path / "rounds")), job.round.name)
        workload, trial = job.round.workload, suggest(job.round.studies[0], 0)
        datasets = workload.datasets()
        divided = Divided(datasets, 0) if isinstance(datasets, Split) else None
        recipe = Recipe(pack(workload) if workload.preprocesses() else None)
        arrays = {
            split: concatenated(list(read_split(find_sources(datasets), split, recipe, divided)))
            for split in ("train", "validation")
        }
        columns = {
            name: ColumnRecord(dtype=str(each.dtype), shape=each.shape[1:]) for name, each in arrays["train"].items()
        }
        examples = ExamplesRecord(
            mode="materialized",
            sources={},
            num_examples={split: len(next(iter(each.values()))) for split, each in arrays.items()},
            num_bytes={},
            division="exact" if divided else None,
            columns=columns if records_columns else {},
        )
        record = round_record(job.round, provenance_of(job, store.storage.uri), examples)
        store.create(record, job.round.studies, notes="", diff="")
        data = SharedBatches(TrialExamples(arrays), trial, BatchShare(16), torch.device("cpu"))
        of_round, folder = Storage(store.uri), predictions_folder(trial.study, trial.key)
        checkpoints = Checkpoints(of_round, checkpoints_folder(trial.study, trial.key), trial, num_best=3)
        recorder, name = Recorder(store, job.round.studies), AttemptName("a round", (trial.study, trial.key), 1)
        recorder.handle(AttemptStarted(name, "gang-1"))

        def save(step, examples):
            write_predictions(of_round, folder, step, examples_table(examples))

        end = train(TrialRun(workload, trial, data, Group(), Recording(recorder, name)), checkpoints, save)
        recorder.handle(AttemptEnded(name, AttemptEnd("completed", end), is_final=True))
        return store

    return make


@pytest.fixture
def store(make_store) -> RoundStore:
    """The round of `JOB`."""
    return make_store()


PICTURES = """
import numpy as np
import torch.nn.functional as F
from torch import nn

from raytune_playbook import Budget, Discrete, Files, Objective, Round, Split, Workload


class Pictures(Workload):
    def defaults(self):
        return {"batch_size": 16}

    def datasets(self):
        return Split(Files("FOLDER"), train=0.6, validation=0.2, test=0.2)

    def preprocess(self, columns):
        label = np.array([path.split("/")[-2] == "bright" for path in columns["path"]], np.int64)
        return {"image": columns["image"].astype(np.float32) / 255, "label": label}

    def model(self, values):
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 2))

    def loss(self, model, batch, values):
        return F.cross_entropy(model(batch["image"]), batch["label"], reduction="none")

    def metrics(self, model, batch, values):
        wrong = model(batch["image"]).argmax(1) != batch["label"]
        return {"loss": self.loss(model, batch, values), "error": wrong.float()}


round = Round(
    name="pictures", goal="Bright or dark?", workload=Pictures(), nuisance={"learning_rate": Discrete([0.1])},
    objective=Objective(metric="error"),
    budget=Budget(num_trials=1, max_train_steps=20, evaluation_interval_steps=10),
)
"""


@pytest.fixture
def pictures(make_store, tmp_path):
    """A round on a folder of images, and their pixels in the order of their names."""
    rng, pixels = np.random.default_rng(0), []
    for name, low in (("bright", 120), ("dark", 0)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(40):
            image = rng.integers(low, low + 135, (4, 3, 3), np.uint8)
            Image.fromarray(image).save(tmp_path / "images" / name / f"{number:02d}.png")
            pixels.append(image)
    return make_store(PICTURES.replace("FOLDER", str(tmp_path / "images"))), np.stack(pixels)
