"""Rounds over files: streamed, preprocessed before, divided by a hash; on the shared gangs of two workers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torch import Tensor, nn

from raytune_playbook import (
    Batch,
    Budget,
    Files,
    Float,
    InputError,
    InputPipeline,
    Objective,
    Round,
    RunError,
    Split,
    Values,
    Workload,
    run,
)
from raytune_playbook.data.datasets import find_sources
from raytune_playbook.data.splits import division_by_hash
from raytune_playbook.engine.jobs.to_workers import pack
from raytune_playbook.engine.rounds.examples import examples_of, names_of
from raytune_playbook.engine.rounds.preprocess import preprocess, preprocessing
from raytune_playbook.engine.rounds.running import RunningRound
from raytune_playbook.engine.trained.score import score
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.driving.claims import claimed
from raytune_playbook.records.scores import ScoreRecord, now, write_score
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.fingerprints import examples_fingerprint
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Discrete
from raytune_playbook.train.workload import Columns
from tests.regression import RESOURCES

NUM_TRAIN = 230


class OnFiles(Workload):
    """A linear model on files; a worker exits once in the middle of a trial where ``marker`` is a folder."""

    def __init__(self, folder: str, marker: str = "", divided: bool = False, factor: float = 2.0) -> None:
        self.folder, self._marker, self.divided, self.factor = folder, marker, divided, factor

    def defaults(self) -> Mapping[str, Value]:
        return {"batch_size": 24}

    def datasets(self) -> Mapping[str, object] | Split:
        if self.divided:
            return Split(Files(f"{self.folder}/train"), train=0.7, validation=0.2, test=0.1)
        return {"train": Files(f"{self.folder}/train"), "validation": f"{self.folder}/validation"}

    def preprocess(self, columns: Columns) -> Columns:
        return {"x": self.factor * columns["x"], "y": columns["y"]}

    def model(self, values: Values) -> nn.Module:
        self._num_steps = 0
        return nn.Linear(3, 1)

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        if model.training:
            self._num_steps += 1
            if self._marker and self._num_steps == 7 and not (mark := Path(self._marker) / "exited").exists():
                mark.touch()
                os._exit(3)
        return (model(batch["x"]).squeeze(1) - batch["y"]).square()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("examples")
    for split, sizes in (("train", (70, 31, 99, 30)), ("validation", (41,))):
        (folder / split).mkdir()
        for number, size in enumerate(sizes):
            x = rng.normal(size=(size, 3)).astype(np.float32)
            table = pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(x), "y": x.sum(axis=1)})
            pq.write_table(table, folder / split / f"{number}.parquet", row_group_size=25)
    return folder


def round_of(name: str, workload: Workload, mode: str = "streaming", **fields: object) -> Round:
    return Round(
        **{
            "name": name,
            "goal": "Do the examples arrive?",
            "workload": workload,
            "nuisance": {"learning_rate": Float(0.01, 0.1, scale="log")},
            "objective": Objective(metric="loss"),
            "budget": Budget(num_trials=2, max_train_steps=24, evaluation_interval_steps=4),
            "resources": RESOURCES,
            "input_pipeline": InputPipeline(mode=mode, window_examples=60),
        }
        | fields
    )


def rows_of_study(result, study: str) -> list[dict[str, object]]:
    rows = result.store.measurements(study, "00000").to_pylist()
    return [row for row in rows if row["split"] == "validation"]


def rows_of(result, index: int) -> pa.Table:
    return result.store.measurements("all", f"{index:05d}").drop_columns(list(TIME_COLUMNS))


def test_ck2_a_streamed_trial_goes_on_bit_for_bit_in_the_middle_of_an_epoch(gangs, folder, tmp_path, quiet):
    (marks := tmp_path / "marks").mkdir()
    whole = run(round_of("s", OnFiles(str(folder))), storage=str(tmp_path / "a"), gangs=gangs, console=quiet)
    broken = OnFiles(str(folder), str(marks))
    resumed = run(round_of("s", broken), storage=str(tmp_path / "b"), gangs=gangs, console=quiet)
    assert (marks / "exited").exists()
    for index in range(2):
        assert rows_of(whole, index).equals(rows_of(resumed, index))
    attempts = [attempt for trial in resumed.trials["attempts"].to_pylist() for attempt in trial]
    assert [attempt["first_step"] for attempt in attempts if attempt["number"] == 2] == [4]
    examples = whole.store.round().examples
    assert examples is not None
    assert (examples.mode, examples.window_examples, examples.num_examples["train"]) == ("streaming", 60, NUM_TRAIN)
    printed = quiet.file.getvalue()
    assert "Examples: 230 train, 41 validation; streamed in windows of 60" in printed
    assert "1 CPU(s) kept free for the input pipeline" in printed


def test_pi2_later_rounds_use_what_was_preprocessed_and_only_while_it_fits(gangs, folder, tmp_path, quiet):
    storage, workload = str(tmp_path), OnFiles(str(folder))
    fresh = run(round_of("fresh", workload, "auto"), storage=str(tmp_path / "other"), gangs=gangs, console=quiet)
    round_ = round_of("saved", workload, "auto")
    # As the command does, which starts a session of its own; this process is connected to a cluster already.
    datasets = workload.datasets()
    task = preprocessing(Storage(storage), names_of(workload, datasets, find_sources(datasets)))
    with (
        claimed(task, say=pytest.fail),
        pytest.raises(InputError, match="Examples are preprocessed by one process at a time"),
    ):
        preprocess(round_, storage=storage, console=quiet)
    manifest = preprocess(round_, storage=storage, console=quiet)
    assert sorted(path.name for path in (tmp_path / "preprocessed").iterdir()) == [Path(manifest.folder).name]
    assert preprocess(round_, storage=storage, console=quiet) == manifest
    assert quiet.file.getvalue().count("The examples were preprocessed before:") == 1
    saved = run(round_, storage=storage, gangs=gangs, console=quiet)
    record = saved.store.round().examples
    assert record is not None
    assert record.preprocessed == f"{storage}/{manifest.folder}"
    assert [rows_of(saved, index) for index in range(2)] == [rows_of(fresh, index) for index in range(2)]
    streamed = run(round_of("streamed", workload), storage=storage, gangs=gangs, console=quiet)
    assert streamed.store.round().examples == record.model_copy(
        update={**streamed.store.round().examples.model_dump(), "preprocessed": record.preprocessed}
    )
    other = run(
        round_of("other", OnFiles(str(folder), factor=3.0), "auto"), storage=storage, gangs=gangs, console=quiet
    )
    assert other.store.round().examples.preprocessed is None


class InMemory(OnFiles):
    """Arrays, one of them of texts, which the preprocessing may make numbers of."""

    def __init__(self, texts: tuple[str, ...] = ("a", "b"), size: int = 1) -> None:
        self._texts, self._size = texts, size

    def datasets(self) -> Mapping[str, object]:
        columns = {"x": np.zeros((2, 3)), "text": np.array(self._texts, object)}
        return {"train": columns, "validation": columns}


def test_pi2_what_was_preprocessed_is_found_by_all_that_it_was_made_of():
    def name(workload: Workload) -> tuple[str, str]:
        datasets = workload.datasets()
        return names_of(workload, datasets, find_sources(datasets))

    class Another(InMemory):
        def __init__(self) -> None:
            super().__init__()
            self._kind = {"crop": 8}  # neither public nor plain

    assert name(InMemory()) == name(InMemory())
    others = [InMemory(("a", "c")), InMemory(size=2), InMemory(("a", "b "))]
    assert len({name(each) for each in [InMemory(), *others]}) == 4
    first, second = Another(), Another()
    second._kind = {"crop": 9}
    assert name(first) != name(second)


def test_ck2_a_round_goes_on_in_the_mode_in_which_it_was_begun(gangs, folder, tmp_path, quiet):
    """As on a cluster whose nodes have more memory than those on which it was begun."""
    round_ = round_of("mode", OnFiles(str(folder)), "auto")
    begun = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet).store
    path = tmp_path / "mode" / "round.json"
    record = json.loads(path.read_text())
    assert record["examples"]["mode"] == "materialized"
    record["examples"] |= {"mode": "streaming", "window_examples": 50}
    path.write_text(json.dumps(record))
    assert "streamed" not in quiet.file.getvalue()
    run(round_.extended(3), storage=str(tmp_path), gangs=gangs, console=quiet)
    assert "streamed in windows of 50" in quiet.file.getvalue()
    assert begun.trials().num_rows == 3


def test_ad7_another_division_is_a_hyperparameter(gangs, folder, tmp_path, quiet):
    round_ = round_of(
        "divided",
        OnFiles(str(folder), divided=True),
        "auto",
        nuisance={},
        scientific={"data_split": Discrete((0, 1))},
    )
    result = run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    losses = dict(
        zip(result.trials["values.data_split"].to_pylist(), result.trials["objective"].to_pylist(), strict=True)
    )
    assert losses.keys() == {0, 1}
    assert losses[0] != losses[1]
    record = result.store.round().examples
    assert record.num_examples == {"train": 161, "validation": 46}  # without the test set
    assert record.division == "exact"
    assert {name: (each.dtype, each.shape) for name, each in record.columns.items()} == {
        "x": ("float32", (3,)),
        "y": ("float32", ()),
    }
    # Each division has a validation set of its own, and all have the same test set (rule AD6).
    looks = [score(result.store, f"data_split={number}/0", "test", workload=round_.workload) for number in (0, 1)]
    assert [(look.num_examples, look.data_split) for look in looks] == [(23, 0), (23, 1)]
    (measured,) = (row["loss"] for row in rows_of_study(result, "data_split=1") if row["step"] == looks[1].step)
    found = score(result.store, "data_split=1/0", "validation", workload=round_.workload).metrics["loss"]
    assert found == pytest.approx(measured, rel=1e-6)


@pytest.mark.parametrize("recorded", [None, "exact", "by hash"])
def test_a_round_that_was_begun_keeps_dividing_as_it_did(gangs, folder, tmp_path, quiet, recorded):
    round_ = round_of("divided", OnFiles(str(folder), divided=True), "auto")
    running = RunningRound(round_, pack(round_.workload), gangs, quiet)
    examples = examples_of(running, None, None)
    fresh, fractions = examples.record, round_.workload.datasets().fractions
    by_hash = division_by_hash(fractions).rows(examples.loaded["all"].hashes)
    before = None if recorded is None else fresh.model_copy(update={"division": recorded})
    storage = Storage(str(tmp_path))
    look = {"study": "all", "trial": "00000", "step": 4, "metrics": {}, "num_examples": 23, "source": "files"}
    write_score(RoundStore(storage, "divided"), ScoreRecord(split="test", scored_at=now(), **look))
    found = examples_of(running, storage, before)
    warned = "Warning: The test set was looked at once;" in quiet.file.getvalue()
    assert warned == (recorded is not None)  # a round that goes on after the end
    num_train = len(by_hash["train"]) if recorded == "by hash" else 161
    assert (found.record.division, found.record.num_examples["train"]) == (recorded or "exact", num_train)
    said = "The examples stay divided by each example's hash alone, as they were when the round began"
    assert (said in quiet.file.getvalue()) == (recorded == "by hash")
    if recorded == "by hash":  # as all did before there were exact shares
        of_an_earlier_version = fresh.model_copy(update={"division": None})
        assert examples_of(running, None, of_an_earlier_version).record.num_examples == found.record.num_examples


def test_pi2_what_was_saved_by_hash_alone_is_found_by_whoever_divides_so(folder):
    workload = OnFiles(str(folder), divided=True)
    split = workload.datasets()
    sources = find_sources(split)
    facts = ("OnFiles", sorted(vars(workload).items()), workload.spec().source_hash, True)
    before = examples_fingerprint((*facts, (split.fractions, split.key)), {"all": sources.by_split["all"].identity})
    assert names_of(workload, replace(split, grows=True), sources) == ("OnFiles", before)
    assert names_of(workload, split, sources)[1] != before


@pytest.mark.parametrize("mode", ["auto", "streaming"])
def test_a_batch_larger_than_the_data_is_refused_before_anything_is_written(gangs, folder, tmp_path, quiet, mode):
    round_ = round_of("large", OnFiles(str(folder)), mode, fixed={"batch_size": 232})
    with pytest.raises(InputError, match="must not exceed the number of training examples, but got 232 of 230"):
        run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert not (tmp_path / "large").exists()


def test_a_file_that_is_gone_by_the_second_round_ends_it_with_a_sentence(gangs, folder, tmp_path, quiet):
    for each in folder.rglob("*.parquet"):
        copy = tmp_path / "examples" / each.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(each.read_bytes())
    harmed = tmp_path / "examples" / "train" / "2.parquet"
    content = bytearray(harmed.read_bytes())
    content[4:400] = bytes(396)
    harmed.write_bytes(content)
    round_ = round_of("harmed", OnFiles(str(tmp_path / "examples")))
    with pytest.raises((InputError, RunError), match=r"row group 0 of .*2.parquet is not") as caught:
        run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert isinstance(caught.value, InputError)
    assert not (tmp_path / "harmed").exists()
