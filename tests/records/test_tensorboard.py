"""TensorBoard events, read back record by record."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from raytune_playbook.records import tensorboard
from raytune_playbook.records.columns import measurements_table

STUDY, KEY = "activation=relu", "00003"


def events(path: Path) -> list[Event]:
    """TFRecords: length, its checksum, the event, its checksum."""
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found


def test_every_metric_becomes_a_scalar_of_its_split(created):
    rows = [
        {"step": 0, "split": "train", "loss": 2.5, "error": 0.75},
        {"step": 0, "split": "validation", "loss": 2.25, "error": 0.5},
        {"step": 1, "split": "step", "loss": 2.0, "gradient_norm": 3.0, "wait_s": 0.0},
        {"step": 2, "split": "step", "loss": 1.5, "gradient_norm": 4.0, "wait_s": None},
        {"step": 2, "split": "validation", "loss": 1.0, "score": 7.0},  # which earlier evaluations lack
    ]
    tensorboard.export(created, STUDY, KEY, measurements_table(rows))
    folder = Path(created.storage.root) / "round" / STUDY / "tensorboard" / KEY
    (path,) = folder.iterdir()
    assert "tfevents" in path.name
    scalars = {(value.tag, event.step): value.simple_value for event in events(path) for value in event.summary.value}
    assert scalars == {
        ("train/loss", 0): 2.5,
        ("train/error", 0): 0.75,
        ("validation/loss", 0): 2.25,
        ("validation/error", 0): 0.5,
        ("train_step/loss", 1): 2.0,
        ("train_step/gradient_norm", 1): 3.0,
        ("train_step/wait_s", 1): 0.0,
        ("train_step/loss", 2): 1.5,
        ("train_step/gradient_norm", 2): 4.0,
        ("validation/loss", 2): 1.0,
        ("validation/score", 2): 7.0,
    }


@pytest.mark.parametrize("rows", [[], [{"step": 1, "split": "step", "loss": float("nan")}]])
def test_nothing_and_not_a_number_can_be_exported_and_nothing_is_printed(created, rows, caplog):
    tensorboard.export(created, STUDY, KEY, measurements_table(rows))
    assert not caplog.records
    (path,) = (Path(created.storage.root) / "round" / STUDY / "tensorboard" / KEY).iterdir()
    assert sum(len(event.summary.value) for event in events(path)) == len(rows)
