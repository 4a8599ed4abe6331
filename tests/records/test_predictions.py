"""Predictions on chosen examples in the records (rule EV4)."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pytest

from raytune_playbook.records.predictions import predictions_folder, read_predictions, write_predictions
from raytune_playbook.records.storage import Storage

FOLDER = predictions_folder("all", "00012")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def examples(scale: float) -> pa.Table:
    probabilities = pa.FixedSizeListArray.from_arrays(pa.array([0.5 * scale, 0.5, 0.25, 0.75]), 2)
    return pa.table({"row": [3, 9], "predicted.label": [0, 1], "predicted.probability": probabilities})


def test_ev4_predictions_of_every_evaluation_are_read_with_pyarrow_alone(storage, tmp_path):
    for step, scale in ((100, 2.0), (20, 1.0)):
        write_predictions(storage, FOLDER, step, examples(scale))
    table = pads.dataset(tmp_path / "all/predictions/00012", format="parquet").to_table()
    assert table["step"].to_pylist() == [20, 20, 100, 100]
    assert table["row"].to_pylist() == [3, 9, 3, 9]
    assert table["predicted.probability"].to_pylist() == [[0.5, 0.5], [0.25, 0.75], [1.0, 0.5], [0.25, 0.75]]
    assert read_predictions(storage, FOLDER).equals(table)


def test_ck2_a_resumed_trial_writes_the_same_file_again(storage, tmp_path):
    for _ in range(2):
        write_predictions(storage, FOLDER, 20, examples(1.0))
    assert [file.name for file in (tmp_path / FOLDER).iterdir()] == ["00000020.parquet"]
    assert read_predictions(storage, FOLDER).num_rows == 2


def test_predictions_are_small(storage, tmp_path):
    write_predictions(storage, FOLDER, 20, examples(1.0))
    assert (tmp_path / FOLDER / "00000020.parquet").stat().st_size < 4096


def test_a_trial_without_predictions_has_none(storage):
    assert read_predictions(storage, FOLDER) is None
