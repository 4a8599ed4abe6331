"""Kept models on all validation examples, and on any data, without a cluster (rule EV8)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from raytune_playbook.cli import main
from raytune_playbook.data.columns import to_arrow
from raytune_playbook.data.materialized.preprocessed import Manifest, Writer, folder_of
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.trained.load import load_model
from raytune_playbook.engine.trained.predict import predict
from raytune_playbook.errors import InputError, SpecError
from raytune_playbook.records.predictions import predictions_folder, read_predictions
from raytune_playbook.records.scores import read_scores
from raytune_playbook.records.storage import Storage
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.datasets import Files
from raytune_playbook.train.prediction import BATCH_SIZE, examples_table

SPLITS = ("validation", "validation_full")


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


# ------------------------------------------------------------------ whatever the examples come from


def points(num: int = 30) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(num, 2, 3)).astype(np.float32)


def of_objects(x: np.ndarray) -> np.ndarray:
    column = np.empty(len(x), object)
    column[:] = list(x)
    return column


SOURCES = {
    "arrays": lambda x, _: {"x": x},
    "float64 arrays": lambda x, _: {"x": x.astype(np.float64)},
    "lists": lambda x, _: {"x": x.tolist()},
    "objects": lambda x, _: {"x": of_objects(x)},
    "series": lambda x, _: {"x": pd.Series(list(x))},
    "with what training had not": lambda x, _: {"x": x, "number": np.arange(len(x)), "name": ["a"] * len(x)},
    "tensors": lambda x, _: to_arrow({"x": x}),
    "nested lists": lambda x, _: pa.table({"x": x.tolist()}),
    "lists of one size": lambda x, _: examples_table({"x": x}),
    "parquet": lambda x, folder: parquet(folder / "x.parquet", to_arrow({"x": x})),
    "parquet of nested lists": lambda x, folder: parquet(folder / "x.parquet", pa.table({"x": x.tolist()})),
    "folder": lambda x, folder: parquet(folder / "parts" / "0.parquet", to_arrow({"x": x})).rpartition("/")[0],
    "files": lambda x, folder: Files(parquet(folder / "x.parquet", to_arrow({"x": x})), columns=["x"]),
    "numpy": lambda x, folder: saved(folder / "x.npz", x),
}


def parquet(path: Path, table: pa.Table) -> str:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path, row_group_size=7)
    return str(path)


def saved(path: Path, x: np.ndarray) -> str:
    np.savez(path, x=x)
    return str(path)


def test_ev8_every_source_that_can_be_trained_on_is_predicted_alike(store, tmp_path):
    x = points()
    with torch.no_grad():
        exact = load_model(store, "0")(torch.from_numpy(x)).numpy()
    tables = {name: predict(store, "0", source(x, tmp_path)) for name, source in SOURCES.items()}
    for name, table in tables.items():
        assert table.equals(tables["arrays"]), name  # to the bit
    np.testing.assert_allclose(np.array(tables["arrays"]["logits"].to_pylist()), exact, rtol=1e-5, atol=1e-6)


def test_ev8_a_prediction_depends_on_nothing_but_its_example(store, tmp_path):
    x = points(2 * BATCH_SIZE + 40)
    whole = predict(store, "0", {"x": x})
    for first, last in ((0, 1), (3, 20), (0, BATCH_SIZE), (BATCH_SIZE, len(x)), (500, 501)):
        some = predict(store, "0", {"x": x[first:last]})
        assert some["logits"].to_pylist() == whole["logits"].to_pylist()[first:last]
    for number, rows in enumerate(np.array_split(np.arange(len(x)), 5)):
        parquet(tmp_path / "parts" / f"{number}.parquet", to_arrow({"x": x[rows]}))
    assert predict(store, "0", str(tmp_path / "parts")).equals(whole)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"x": [[1.0], [1.0, 2.0]]},
            r"one shape, but 'x' in .* has \(1,\) in row 0 and \(2,\) in row 1; pad or cut",
        ),
        (pa.table({"x": [[1.0], [1.0, 2.0]]}), r"'x' in rows 0 to 1 of 'the data' has \(1,\) in row 0 and"),
        (pa.table({"x": [1.0, None]}), "but 1 of 'x' are missing in the data, the first in row 1"),
        ({"x": np.array([points()[0], None], object)}, "'x' in rows 0 to 1 of 'the data' has none in row 1; fill it"),
        ({"y": [1.0]}, r"the columns that the model was trained on \('label', 'x'\), but rows 0 to 0 .* has 'y'; name"),
        (
            {"x": points(3)[:, :1]},
            r"Pairs must take the examples .*float32\[1, 3\].*, but raises RuntimeE.*line \d+",
        ),
        ({"x": points(0)}, "Examples to predict on are needed, but arrays holds none"),
        ({"x": points(2), "label": [0.5, 1.0]}, "'label' in .* is float64, and some of its numbers are no int64; conv"),
        (7, "data must be arrays by column, an Arrow table, Files, a URI or a Ray Dataset, but is int; give one"),
    ],
)
def test_what_cannot_be_predicted_is_one_sentence(store, data, words):
    with pytest.raises(InputError, match=words) as caught:
        predict(store, "0", data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("nowhere", "but there is no"),
        ("empty", "Examples to predict on"),
        ("broken", "is not (ArrowInvalid"),
    ],
)
def test_files_that_cannot_be_predicted_are_one_sentence_and_exit_code_2(store, tmp_path, capsys, data, words):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.parquet").write_bytes(b"PAR1 and nothing else")
    (tmp_path / "empty").mkdir()
    pacsv.write_csv(pa.table({"x": pa.array([], pa.float64())}), tmp_path / "empty" / "0.csv")
    arguments = ["predict", "pairs", "0", "--data", str(tmp_path / data), "--output", str(tmp_path / "out.parquet")]
    assert main([*arguments, "--storage", str(store.storage.uri)]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out.parquet").exists()


def test_examples_of_a_round_from_before_its_columns_were_recorded_are_taken_as_they_are(make_store):
    store, x = make_store(records_columns=False), points()
    found = predict(store, "0", {"x": x, "name": ["a"] * len(x)})
    assert found.equals(predict(store, "0", {"x": x}))
    with pytest.raises(SpecError, match=r"Pairs must take the examples \{'x': 'float64\[2, 3\]'\}, but raises"):
        predict(store, "0", {"x": x.astype(np.float64)})


# ------------------------------------------------------------------ preprocessed as in training


def test_ev8_a_folder_of_images_is_preprocessed_as_in_training(pictures, tmp_path, capsys):
    store, pixels = pictures
    output = tmp_path / "out.parquet"
    arguments = ["predict", "pictures", "0", "--data", str(tmp_path / "images"), "--output", str(output)]
    assert main([*arguments, "--storage", str(store.storage.uri)]) == 0
    assert capsys.readouterr().out == f"80 predictions stand in {output}.\n"
    table = pq.read_table(output)
    with torch.no_grad():
        exact = load_model(store, "0")(torch.from_numpy(pixels.astype(np.float32) / 255)).numpy()
    assert table.column_names == ["row", "output"]
    np.testing.assert_allclose(np.array(table["output"].to_pylist()), exact, rtol=1e-5, atol=1e-6)


def test_pi2_what_preprocess_saved_is_predicted_as_it_is_and_a_look_at_the_test_set_is_recorded(pictures, tmp_path):
    store, pixels = pictures
    storage = store.storage
    writer = Writer(storage, folder_of("Pictures", "abc"))
    image = pixels.astype(np.float32) / 255
    for split in ("train", "test"):
        columns = {"image": image, "label": np.zeros(80, np.int64), "_hash": np.arange(80, dtype=np.uint64)}
        writer.write_block(split, columns, None)
    fields = {"skipped": (), "overlaps": (), "seconds": 0.0, "created_at": "", "num_bytes": {}, "sources": {}}
    manifest = Manifest(workload="Pictures", fingerprint="abc", num_examples=writer.num_examples, **fields)
    manifest.write(storage)
    of_images = predict(store, "0", str(tmp_path / "images"))
    assert predict(store, "0", f"{storage.uri}/{manifest.folder}/train").equals(of_images)
    assert read_scores(store) == []
    assert predict(store, "0", f"{storage.uri}/{manifest.folder}/test").equals(of_images)
    (look,) = read_scores(store)
    assert (look.split, look.metrics, look.num_examples) == ("test", {}, 80)
    manifest.model_copy(update={"workload": "Others"}).write(storage)
    other = f"{storage.uri}/{folder_of('Others', 'abc')}"
    Path(f"{storage.root}/{folder_of('Others', 'abc')}/train").mkdir()
    parquet(Path(f"{storage.root}/{folder_of('Others', 'abc')}/train/0.parquet"), to_arrow({"image": image}))
    with pytest.raises(SpecError, match=r"preprocessed by the workload that predicts, but .* was by Others; give them"):
        predict(store, "0", f"{other}/train")


# ------------------------------------------------------------------ what the README shows

ROUND = """
from raytune_playbook import Budget, Discrete, Objective, Round

round = Round(
    name="photos", goal="Cats or dogs?", workload={workload}(), nuisance={{"learning_rate": Discrete([0.01])}},
    fixed={{"batch_size": 16}}, objective=Objective(metric="loss"),
    budget=Budget(num_trials=4, max_train_steps=4, evaluation_interval_steps=2),
)
"""


@pytest.mark.parametrize("workload", ["Photos", "Named"])
def test_the_readmes_photos_are_trained_on_predicted_and_scored(make_store, tmp_path, monkeypatch, capsys, workload):
    text = (Path(__file__).parents[3] / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    commands = re.findall(r"^raytune-playbook (predict .*)$", text, flags=re.MULTILINE)
    assert len(commands) == 2
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder, num in (("photos/cat", 30), ("photos/dog", 30), ("new_photos", 3)):
        Path(folder).mkdir(parents=True)
        for number in range(num):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(f"{folder}/{number:04d}.png")
    shown = [next(block for block in blocks if f"class {name}" in block) for name in ("Photos", "Named")]
    make_store("\n".join([*shown, ROUND.format(workload=workload)]))
    # The README's trial is another than the one that was trained here.
    assert main(commands[0].replace("all/3", "all/0").split()) == 0
    said = pq.read_table("said.parquet")
    assert said.column_names == ["row", *(["output"] if workload == "Photos" else ["label", "probability"])]
    assert said["row"].to_pylist() == [0, 1, 2]
    if workload == "Named":
        assert np.array(said["probability"].to_pylist()).sum(axis=1) == pytest.approx([1, 1, 1])
    capsys.readouterr()
    assert main(commands[1].replace("all/3", "all/0").split()) == 0
    assert ", 6 examples: loss " in capsys.readouterr().out
