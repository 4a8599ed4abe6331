"""Preprocessing that makes the same of an example in any batch, and such that does not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from raytune_playbook.data.columns import Columns
from raytune_playbook.data.divisions import require_same_in_any_division
from raytune_playbook.errors import DataError

RNG = np.random.default_rng(0)
COLUMNS: Columns = {"x": RNG.normal(size=(20, 6)).astype(np.float32), "label": np.arange(20) % 3}
WEIGHTS = torch.from_numpy(RNG.normal(size=(6, 64)).astype(np.float32))


def encoded(number: int) -> bytes:
    """A picture of its own size, as it lies in a file."""
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (8 + number, 9, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


FILES = np.array([encoded(number) for number in range(9)], object)


def decoded(columns: Columns) -> Columns:
    images = [Image.open(io.BytesIO(each)).resize((8, 8)) for each in columns["file"]]
    return {"image": np.stack([np.asarray(image) for image in images])}


def by_a_kernel(columns: Columns) -> Columns:
    """Matrix products that may add in another order for another number of rows."""
    features = torch.from_numpy(columns["x"]) @ WEIGHTS
    return {"x": features.exp().softmax(1).numpy(), "half": features.half().numpy()}


def last_bits_differ(columns: Columns) -> Columns:
    """What a vectorised kernel does to the rest of a batch that does not fill a vector."""
    x = columns["x"].copy()
    x[4:] = np.nextafter(x[4:], np.float32(9))
    x[len(x) // 2] *= 1 + 1e-6
    return {"x": x, "rounded": np.round(np.repeat(x, 400, axis=1) * 10 + 0.3).astype(np.uint8)}


def in_place(columns: Columns) -> Columns:
    columns["x"] *= 2
    return columns


@pytest.mark.parametrize(
    ("preprocess", "columns"),
    [
        (lambda columns: columns, COLUMNS),
        (lambda columns: {"x": columns["x"].astype(np.float16) / 3, "label": columns["label"] == 1}, COLUMNS),
        (
            lambda columns: {"x": (columns["x"] - columns["x"].mean(1, keepdims=True)) / columns["x"].std(1)[:, None]},
            COLUMNS,
        ),
        (lambda columns: {"x": np.where(columns["x"] > 0, np.nan, np.inf)}, COLUMNS),
        (lambda columns: {name: values[columns["label"] > 0] for name, values in columns.items()}, COLUMNS),
        (lambda columns: {name: values[:0] for name, values in columns.items()}, COLUMNS),
        (decoded, {"file": FILES}),
        (by_a_kernel, COLUMNS),
        (last_bits_differ, COLUMNS),
        (in_place, COLUMNS),
    ],
    ids=[
        "as it is",
        "types",
        "within an example",
        "not finite",
        "pruned",
        "all pruned",
        "decoded",
        "kernel",
        "bits",
        "in place",
    ],
)
def test_what_looks_at_each_example_alone_is_taken(preprocess, columns):
    before = {name: values.copy() for name, values in columns.items()}
    for number in (1, 2, 3, 8, 20):
        require_same_in_any_division(preprocess, {name: values[:number] for name, values in columns.items()}, "here")
    assert all((values == before[name]).all() for name, values in columns.items())


@pytest.mark.parametrize(
    ("preprocess", "words"),
    [
        (lambda x: (x - x.mean(0)) / x.std(0), "column 'x' of the first 8 examples of here differs when 8"),
        (lambda x: x / np.abs(x).max(), "column 'x'"),
        (lambda x: x - x[0], "column 'x'"),
        (lambda x: x.argsort(0), "column 'x'"),
        (lambda x: np.full(len(x), len(x)), "column 'x'"),
        (lambda x: np.unique(x > 0, axis=0), "column 'x'|columns, types or shapes"),
        (lambda x: np.zeros((len(x), int((x > 0).sum()))), "columns, types or shapes differ"),
        (lambda x: (x - x.mean(0)).astype(np.float16), "column 'x'"),
    ],
    ids=["standardized", "largest", "first", "ranks", "number", "unique", "padded", "half"],
)
def test_what_depends_on_the_other_examples_is_refused(preprocess, words):
    with pytest.raises(DataError, match=f"^Workload.preprocess must make the same of an example whatever .*({words})"):
        require_same_in_any_division(lambda columns: {"x": preprocess(columns["x"])}, COLUMNS, "here")


def test_what_is_random_is_refused_as_such():
    words = r"the same of an example every time, but column 'x' .* leave to Workload\.augment what is random"
    with pytest.raises(DataError, match=words):
        require_same_in_any_division(lambda columns: {"x": columns["x"] + RNG.normal(size=6)}, COLUMNS, "here")
