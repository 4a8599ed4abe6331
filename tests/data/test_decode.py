"""What one task does and tells: preprocessing, hashes, and what it had to leave out."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import pytest
import ray.cloudpickle as cloudpickle

from raytune_playbook.data.columns import Columns
from raytune_playbook.data.decode import HASH, TASK_BYTES, Notes, Recipe, decode, tasks_of
from raytune_playbook.data.splits import example_hashes
from raytune_playbook.errors import DataError, RunError

IMAGES: Columns = {"image": np.zeros((3, 2, 2, 1), np.uint8), "path": np.array(["a/0", "a/1", "b/0"], object)}


class Labelled:
    """Preprocesses as a workload does: the folder is the class."""

    def preprocess(self, columns: Columns) -> Columns:
        return {"image": columns["image"], "label": np.array([path[0] == "b" for path in columns["path"]], np.int64)}


def test_equal_images_are_equal_wherever_they_lie_unless_the_path_is_the_key():
    packed = cloudpickle.dumps(Labelled())
    assert len(set(decode(IMAGES, Recipe(packed, hashes="read"), "here")[HASH].tolist())) == 1
    by_path = decode(IMAGES, Recipe(packed, hashes="read", key=("path",)), "here")
    assert by_path[HASH].tolist() == example_hashes(IMAGES, ("path",)).tolist()
    assert len(set(by_path[HASH].tolist())) == 3
    assert by_path["label"].tolist() == [0, 0, 1]
    assert decode(IMAGES, Recipe(), "here").keys() == {"image"}  # a path is no number


def test_a_column_called_path_counts_where_there_are_no_image_files():
    columns = {"x": np.zeros(2), "path": np.array([1, 2])}
    found = decode(columns, Recipe(hashes="read"), "here")
    assert len(set(found[HASH].tolist())) == 2
    assert found["path"].tolist() == [1, 2]
    with pytest.raises(DataError, match="'path' in here is of dtype object"):
        decode({"x": np.zeros(2), "path": np.array(["a", "b"], object)}, Recipe(), "here")


def test_what_was_left_out_is_counted_once_all_tasks_have_told():
    notes = Notes()
    notes.add({}, [])
    notes.add({"read": 1.0}, ["one is damaged"])

    def late() -> None:
        notes.add({}, [])
        notes.add({"read": 0.5}, ["two is damaged"])
        notes.add({"read": 0.5}, ["two is damaged"])  # Ray ran the task twice

    timer = threading.Timer(0.2, late)
    timer.start()
    assert notes.all_skipped(2) == ("one is damaged", "two is damaged")
    timer.join()
    with pytest.raises(RunError, match=r"but 1 task\(s\) have not told"):
        notes.all_skipped(4, timeout_s=0.05)


@dataclass(frozen=True)
class Sized:
    """Stands for a part of the examples."""

    num_examples: int | None
    num_bytes: int
    name: str = "here"

    def read(self) -> Columns:
        raise NotImplementedError


def test_parts_are_read_together_up_to_a_limit_and_never_cut():
    parts = [Sized(number, size) for number, size in enumerate([1, 1, TASK_BYTES, 1])]

    def numbers(parts: list[Sized], **limit: int) -> list[list[int | None]]:
        return [[part.num_examples for part in task] for task in tasks_of(parts, **limit)]

    assert numbers(parts) == [[0, 1], [2], [3]]
    assert numbers(parts[:2] + parts[3:], max_examples=3) == [[0, 1], [3]]
