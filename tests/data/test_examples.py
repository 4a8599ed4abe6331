"""From what a workload returns to what its workers train on: the two modes, splits, overlaps, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.cloudpickle as cloudpickle
from sklearn.datasets import load_digits

from raytune_playbook.data.columns import Columns
from raytune_playbook.data.datasets import find_source, find_sources
from raytune_playbook.data.decode import Recipe
from raytune_playbook.data.examples import MAX_TRAINING_SAMPLE, Preparation, prepare, save
from raytune_playbook.data.materialized.preprocessed import MANIFEST, files_of, find, folder_of
from raytune_playbook.data.materialized.store import start_store
from raytune_playbook.data.reading import read_in_order
from raytune_playbook.data.splits import division_by_hash, exact_division, example_hashes
from raytune_playbook.errors import DataError, InputError, StorageFailure
from raytune_playbook.records.storage import Storage
from raytune_playbook.study.datasets import Files, InputPipeline, Split
from raytune_playbook.study.settings import GIB
from tests.faults.disks import remount
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def store(cluster):
    yield (store := start_store())
    ray.kill(store)


@pytest.fixture
def how(store):
    def make(workload: object = None, mode: str = "auto", node_bytes: int = GIB, window: int = 100) -> Preparation:
        pipeline = InputPipeline(mode=mode, window_examples=window)
        packed = None if workload is None else cloudpickle.dumps(workload)
        return Preparation(store, packed, "label", num_cpus=1, num_gangs=1, node_bytes=node_bytes, pipeline=pipeline)

    return make


class Halved:
    """Preprocesses as a workload does; counts its calls in a folder."""

    def __init__(self, calls: Path | None = None) -> None:
        self._calls = calls

    def preprocess(self, columns: Columns) -> Columns:
        if self._calls is not None:
            (self._calls / f"{len(list(self._calls.iterdir()))}-{columns['label'][0]}").touch()
        return {"image": columns["image"].astype(np.float32) / 2, "label": columns["label"]}


class Pruned:
    def preprocess(self, columns: Columns) -> Columns:
        kept = columns["label"] < 5
        return {name: values[kept] for name, values in columns.items()}


def digits(first: int = 0, last: int = 1797) -> Columns:
    found = load_digits()
    return {"image": found.images[first:last].astype(np.uint8), "label": found.target[first:last]}


def write(folder: Path, columns: Columns, num_files: int = 4, row_group_size: int = 50) -> str:
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(columns["label"])), num_files)):
        image = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(columns["image"][rows]))
        table = pa.table({"image": image, "label": columns["label"][rows]})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=row_group_size)
    return str(folder)


@pytest.mark.parametrize("kind", ["arrays", "table", "files", "path", "dataset"])
def test_every_source_gives_the_same_examples_in_order(how, tmp_path, kind):
    columns = digits()
    given: dict[str, object] = {
        "arrays": columns,
        "table": pa.table({"image": list(columns["image"].reshape(-1, 64)), "label": columns["label"]}),
        "files": Files([write(tmp_path / "files", columns)], columns=["label", "image"]),
        "path": write(tmp_path / "path", columns),
        "dataset": ray.data.read_parquet(write(tmp_path / "set", columns), override_num_blocks=4),
    }
    found = prepare({"train": given[kind], "validation": digits(0, 9)}, how())
    arrays = found.arrays()["train"]
    assert arrays["label"].tolist() == columns["label"].tolist()
    assert np.array_equal(np.asarray(arrays["image"]).reshape(-1, 8, 8), columns["image"])
    assert not arrays["label"].flags.writeable  # it is shared
    assert found.record.mode == "materialized"
    assert found.record.num_examples == {"train": 1797, "validation": 9}


X = np.arange(24.0).reshape(4, 2, 3)
TABLES: dict[str, pa.Table] = {
    "lists": pa.table({"x": X.tolist()}),
    "lists of one size": pa.table({"x": pa.array(X.reshape(4, 6).tolist(), pa.list_(pa.float64(), 6))}),
    "tensors": pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(X)}),
}


@pytest.mark.parametrize("kind", [*TABLES, "pandas", "objects"])
def test_lists_of_one_length_are_stacked_from_every_source(how, kind):
    frame = pd.DataFrame({"x": list(X)})
    dataset = ray.data.from_pandas(frame) if kind in ("pandas", "objects") else ray.data.from_arrow(TABLES[kind])
    given = {"pandas": dict(frame), "objects": {"x": frame["x"].to_numpy()}}.get(kind) or TABLES[kind]
    shape = (4, 6) if kind == "lists of one size" else (4, 2, 3)
    for each in (given, dataset, dataset.repartition(3)):
        found = prepare({"train": each, "validation": {"x": X}}, how()).arrays()["train"]["x"]
        assert found.dtype == np.float64
        assert np.array_equal(found, X.reshape(shape))
    alone = list(read_in_order("the data", find_source(dataset, "data", "the data"), Recipe()))
    assert np.array_equal(np.concatenate([block["x"] for block in alone]), X.reshape(shape))
    assert not dataset.context.execution_options.preserve_order  # the user's setting


RAGGED = [[[1.0], [2.0]], [[3.0], [4.0]], [[5.0]]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (RAGGED, r"one shape, but 'x' in {where}'train' has \(2, 1\) in row 0 and \(1, 1\) in row 2; pad or cut"),
        ([1.0, None, 2.0], "but 1 of 'x' are missing in {where}'train', the first in row 1; fill them"),
        ([[1, 2], [3, None]], "but 1 of 'x' are missing in {where}'train', the first in row 1; fill them"),
    ],
)
def test_what_cannot_be_stacked_is_refused_by_column_and_row(how, values, words):
    table = pa.table({"x": values})
    for given, where in ((table, ""), (ray.data.from_arrow(table), "block 0 of ")):
        with pytest.raises(DataError, match=words.format(where=where)):
            prepare({"train": given, "validation": {"x": np.ones(2)}}, how())


class Padded:
    def preprocess(self, columns: Columns) -> Columns:
        x = np.zeros((len(columns["x"]), 2, 1))
        for row, each in enumerate(columns["x"]):
            x[row, : len(each)] = each
        return {"x": x}


def test_ragged_examples_of_every_source_can_be_padded(how):
    objects = np.empty(3, object)
    objects[:] = [np.array(each) for each in RAGGED]
    table = pa.table({"x": RAGGED})
    datasets = [
        ray.data.from_arrow(table),
        ray.data.from_items([{"x": each} for each in objects]),
        ray.data.from_pandas(pd.DataFrame({"x": objects})),
    ]
    for source in ({"x": objects}, {"x": RAGGED}, table, *datasets):
        found = prepare({"train": source, "validation": {"x": objects}}, how(Padded())).arrays()["train"]["x"]
        assert found.tolist() == [[[1], [2]], [[3], [4]], [[5], [0]]]


@pytest.mark.parametrize("kind", ["arrays", "files", "dataset"])
def test_pi2_preprocessing_of_every_source(how, tmp_path, kind):
    columns = digits()
    path = write(tmp_path / "files", columns)
    given = {
        "arrays": columns,
        "files": Files(path),
        "dataset": ray.data.read_parquet(path, override_num_blocks=4),
    }[kind]
    found = prepare({"train": given, "validation": digits(0, 9)}, how(Halved()))
    train = found.arrays()["train"]
    assert train["image"].dtype == np.float32
    assert np.array_equal(train["image"], columns["image"] / 2)


def test_files_are_read_once_per_session_and_again_when_they_have_changed(how, tmp_path):
    calls = tmp_path / "calls"
    calls.mkdir()
    path, preparation = write(tmp_path / "files", digits()), how(Halved(calls))
    datasets = {"train": path, "validation": digits(0, 9)}

    def num_calls_of_another_round() -> int:
        before = len(list(calls.iterdir()))
        assert prepare(datasets, preparation).record.num_examples["train"] == 1797
        return len(list(calls.iterdir())) - before

    first = num_calls_of_another_round()
    # A look at the size and at the validation examples, which are arrays, is all that is left.
    again = num_calls_of_another_round()
    assert again == num_calls_of_another_round() < first
    changed = tmp_path / "files" / "2.parquet"
    changed.write_bytes(changed.read_bytes())
    assert num_calls_of_another_round() > again


def test_examples_may_be_pruned_where_they_are_read_as_a_whole(how, tmp_path):
    found = prepare({"train": write(tmp_path / "files", digits()), "validation": digits()}, how(Pruned()))
    expected = int((digits()["label"] < 5).sum())
    assert found.record.num_examples == {"train": expected, "validation": expected}
    with pytest.raises(DataError, match="A batch must keep its number of examples"):
        prepare({"train": str(tmp_path / "files"), "validation": digits()}, how(Pruned(), "streaming"))


def test_the_mode_follows_from_the_size_and_can_be_given(how, tmp_path):
    path = write(tmp_path / "files", digits())
    datasets = {"train": path, "validation": digits(0, 9)}
    size = digits()["image"].nbytes + digits()["label"].nbytes
    assert prepare(datasets, how()).record.mode == "materialized"
    streamed = prepare(datasets, how(node_bytes=int(1.9 * size)))
    assert streamed.record.mode == "streaming"
    assert prepare(datasets, how(mode="streaming")).record.mode == "streaming"
    assert streamed.record.window_examples == 100
    assert streamed.record.num_examples == {"train": 1797, "validation": 9}
    # Rule EV7: training error is taken on a fixed sample of what is streamed.
    sample = streamed.arrays()["train"]
    assert 8 * 47 <= len(sample["label"]) <= min(MAX_TRAINING_SAMPLE, 8 * 50)
    assert np.isin(example_hashes(sample), example_hashes(digits())).all()
    again = prepare(datasets, how(mode="streaming", window=7)).arrays()["train"]
    assert np.array_equal(sample["image"], again["image"])


@pytest.mark.parametrize(
    ("datasets", "mode", "words"),
    [
        ({"train": {"x": np.ones(3)}}, "auto", "'validation' is missing among"),
        ([1, 2], "auto", "must return a mapping of splits, or a Split of one source, but it returns list"),
        ({"train": 3, "validation": 4}, "auto", "'train' must be arrays by column, .* but is int"),
        ({"train": {"x": np.ones(3)}, "validation": {"x": np.ones(0)}}, "auto", "'validation' has none"),
        ({"train": {"x": np.ones(3), "y": np.ones(2)}, "validation": {"x": np.ones(1)}}, "auto", "one length"),
        (
            {"train": {"label": np.array([1, np.nan])}, "validation": {"label": np.ones(1)}},
            "auto",
            "1 .*'label' are NaN",
        ),
        ({"train": {"x": np.array(["a"])}, "validation": {"x": np.ones(1)}}, "auto", "'x' in 'train' is of dtype"),
        ({"train": {"x": np.ones(3)}, "validation": {"x": np.ones(1)}}, "streaming", "they lie in memory"),
        ({"train": "nowhere", "validation": {"x": np.ones(1)}}, "auto", "there is no .*nowhere"),
        (Split({"x": np.ones(3)}), "streaming", "A Split divides examples in memory"),
        (Split({"x": np.ones(3)}), "auto", "none falls into '(train|validation)'"),
    ],
)
def test_what_cannot_be_trained_on_is_one_sentence(how, datasets, mode, words):
    with pytest.raises(InputError, match=words) as caught:
        prepare(datasets, how(mode=mode)).rows(0)
    assert "\n" not in str(caught.value)


def test_what_memory_cannot_hold_is_refused_where_it_cannot_be_streamed(how):
    with pytest.raises(DataError, match=r"may take half of the smallest node's object store, .* but these take"):
        prepare({"train": digits(), "validation": digits()}, how(node_bytes=1000))


def test_nan_labels_in_files_name_file_and_row_group(how, tmp_path):
    columns = {"x": np.arange(90.0), "label": np.where(np.arange(90) == 70, np.nan, 1.0)}
    for number in range(3):
        rows = slice(30 * number, 30 * (number + 1))
        table = pa.table({name: values[rows] for name, values in columns.items()})
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=15)
    with pytest.raises(DataError, match=r"'label' are NaN in row group 0 of .*2.parquet, the first in row 10"):
        prepare({"train": str(tmp_path), "validation": {"x": np.ones(2), "label": np.ones(2)}}, how())


@pytest.mark.parametrize("skips", [True, False])
def test_unreadable_row_groups_are_refused_or_counted(how, tmp_path, skips):
    path = write(tmp_path / "files", digits())
    harmed = tmp_path / "files" / "1.parquet"
    content = bytearray(harmed.read_bytes())
    content[4:600] = bytes(596)
    harmed.write_bytes(content)
    datasets = {"train": Files(path, on_unreadable="skip" if skips else "refuse"), "validation": digits(0, 9)}
    if not skips:
        with pytest.raises(DataError, match=r"row group 0 of .*1.parquet is not"):
            prepare(datasets, how())
        return
    record = prepare(datasets, how()).record
    assert record.num_examples["train"] == 1797 - 50
    (sentence,) = record.skipped
    assert "row group 0 of" in sentence


# ---------------------------------------------------------------------- splits


def test_in10_overlaps_between_splits_are_found(how):
    record = prepare(
        {"train": digits(0, 1000), "validation": digits(990, 1200), "test": digits(1195, 1797)}, how()
    ).record
    assert [sentence.partition(",")[0] for sentence in record.overlaps or ()]
    assert record.overlaps is not None
    assert "holds 10 of the 210 validation examples" in record.overlaps[0]
    assert "holds 5 of the 210 validation examples" in record.overlaps[1]
    assert record.num_examples == {"train": 1000, "validation": 210}  # the test set is looked at, and not kept
    assert prepare({"train": digits(0, 1000), "validation": digits(1000, 1200)}, how()).record.overlaps == ()


@pytest.mark.parametrize("grows", [False, True])
def test_ad7_a_split_divides_by_what_examples_are_and_can_be_asked_for_another(how, grows):
    split = Split(digits(), train=0.6, validation=0.2, test=0.2, grows=grows)
    found, hashes = prepare(split, how()), example_hashes(digits())
    division = division_by_hash(split.fractions) if grows else exact_division(hashes, split.fractions)
    expected = division.rows(hashes)
    assert found.record.division == ("by hash" if grows else "exact")
    assert grows or found.record.num_examples == {"train": 1079, "validation": 359}  # of 1797
    rows, other = found.rows(0), found.rows(3)
    assert rows is not None and other is not None
    assert rows.keys() == {"train", "validation"}  # rule AD6: no trial gets the test set
    assert all(np.array_equal(rows[name], expected[name]) for name in rows)
    assert set(rows["validation"]) != set(other["validation"])
    assert not np.isin(expected["test"], np.concatenate(list(other.values()))).any()
    assert np.array_equal(found.arrays()["train"]["image"], digits()["image"])


# ---------------------------------------------------------------------- preprocessed once


@pytest.mark.parametrize(("divided", "grows"), [(False, False), (True, False), (True, True)])
def test_pi2_saved_examples_are_those_that_preprocessing_gives(how, tmp_path, divided, grows):
    path = write(tmp_path / "files", digits())
    split = Split(Files(path), train=0.6, validation=0.2, test=0.2, grows=grows)
    datasets = split if divided else {"train": path, "validation": digits(0, 99)}
    preparation, storage = how(Halved()), Storage(str(tmp_path / "rounds"))
    manifest = save(
        find_sources(datasets), preparation, split=split if divided else None, storage=storage.uri, names=("W", "abc")
    )
    assert find(storage, "W", "abc") == manifest
    assert find(storage, "W", "abd") is None
    saved = prepare(files_of(storage, manifest), how()).arrays()
    fresh = prepare(datasets, preparation)
    for name in ("train", "validation"):
        rows = (fresh.rows(0) or {}).get(name, slice(None))
        for column, values in fresh.arrays()[name].items():
            assert np.array_equal(saved[name][column], values[rows])
            assert saved[name][column].dtype == values.dtype
    assert len(manifest.overlaps) == (0 if divided else 1)
    table = pq.read_table(f"{storage.uri}/{manifest.folder}/train")  # by pyarrow alone
    assert table.num_rows == manifest.num_examples["train"]


def test_a_manifest_that_says_nothing_is_named_as_its_storage_is(tmp_path):
    (tmp_path / folder_of("W", "abc")).mkdir(parents=True)
    (tmp_path / folder_of("W", "abc") / MANIFEST).write_text("{}")
    with pytest.raises(DataError, match=r"/preprocessed/W-abc/manifest.json\?region=here must say what was"):
        find(Storage(f"file://{tmp_path}?region=here"), "W", "abc")


def test_what_an_earlier_attempt_left_and_cannot_be_deleted_is_told(how, disk):
    def saved() -> None:
        datasets = {"train": digits(0, 50), "validation": digits(50, 60)}
        save(find_sources(datasets), how(Halved()), split=None, storage=str(disk), names=("W", "abc"))

    saved()
    saved()  # in its place
    wait_for(lambda: remount(disk, "ro"))  # when no file is open
    try:
        with pytest.raises(StorageFailure, match="preprocessed/W-abc cannot be deleted"):
            saved()
    finally:
        assert remount(disk, "rw")


def test_a_failed_preprocessing_leaves_nothing(how, tmp_path):
    datasets = {"train": digits(), "validation": {"x": np.ones(2)}}
    with pytest.raises(
        DataError, match=r"Workload.preprocess must turn every batch into examples, but raises KeyError"
    ):
        save(find_sources(datasets), how(Halved()), split=None, storage=str(tmp_path / "rounds"), names=("W", "abc"))
    assert not list(tmp_path.rglob("*.parquet"))
