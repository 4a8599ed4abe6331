"""Fragments of every format, really written and read."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raytune_playbook.data.files.formats import list_fragments
from raytune_playbook.data.files.images import IMAGES_PER_FRAGMENT
from raytune_playbook.errors import DataError
from raytune_playbook.study.datasets import Files
from tests.data.example_files import NUM, columns, files_in, names, picture, rows, write


@pytest.mark.parametrize(
    ("ending", "num_fragments", "total"), [("parquet", 9, 60), ("npz", 3, 60), ("csv", 3, None), ("csv.gz", 3, None)]
)
def test_every_example_is_read_once_and_in_order(tmp_path, ending, num_fragments, total):
    listing = list_fragments(Files(str(files_in(tmp_path, ending))))
    assert len(listing.fragments) == num_fragments
    assert listing.num_examples == total
    assert (listing.is_remote, listing.skipped) == (False, ())
    assert rows(listing) == list(range(60))
    found = listing.fragments[-1].read()
    expected = columns(60 - len(found["row"]), len(found["row"]))
    for name in found:
        assert found[name].tolist() == expected[name].tolist()
    assert found.keys() == expected.keys() - ({"name"} if ending == "npz" else set())
    assert all(fragment.num_bytes > 0 for fragment in listing.fragments)
    assert listing.fragments == pickle.loads(pickle.dumps(listing)).fragments


@pytest.mark.parametrize("ending", ["parquet", "npz", "csv", "csv.gz"])
def test_only_the_columns_that_are_asked_for_are_there(tmp_path, ending):
    """Whether the others are read at all is a matter of test_pruning."""
    write(tmp_path / f"a.{ending}", **{"x.y": np.arange(NUM)})
    for wanted in (["x"], ["x.y", "row"], ["row", "x.y", "x"]):
        for fragment in list_fragments(Files(str(tmp_path), columns=wanted)).fragments:
            assert list(fragment.read()) == wanted
    with pytest.raises(DataError, match=rf"each must be in every file, but .*a.{ending} has no 'z'; it has 'row', 'x'"):
        list_fragments(Files(str(tmp_path), columns=["row", "z"]))


def test_sizes_are_estimated_for_the_columns_that_are_wanted(tmp_path):
    def num_bytes(path: Path, *wanted: str) -> int:
        listing = list_fragments(Files(str(path), columns=wanted or None))
        return sum(fragment.num_bytes for fragment in listing.fragments)

    given = columns()
    arrays = write(tmp_path / "a.npz")
    assert num_bytes(arrays, "x") == given["x"].nbytes
    assert num_bytes(arrays) == given["x"].nbytes + given["row"].nbytes
    table = write(tmp_path / "a.parquet")
    groups = [pq.ParquetFile(table).metadata.row_group(number).total_byte_size for number in range(3)]
    assert num_bytes(table) == sum(groups)
    assert num_bytes(table, "row", "x") == sum(size * 2 // 3 for size in groups)
    text = write(tmp_path / "a.csv")
    assert num_bytes(text, "x") == num_bytes(text) == text.stat().st_size
    image = picture(tmp_path / "a.png")
    assert num_bytes(image) == image.stat().st_size


def test_an_array_of_its_own_is_called_data(tmp_path):
    write(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.asfortranarray(np.zeros((5,))))
    listing = list_fragments(Files(str(tmp_path)))
    assert listing.num_examples == NUM + 5
    assert listing.fragments[0].read()["data"].tolist() == columns()["x"].tolist()


@pytest.mark.parametrize(
    ("mode", "shape", "dtype"),
    [("RGB", (3, 4, 3), np.uint8), ("RGBA", (3, 4, 4), np.uint8), ("L", (3, 4, 1), np.uint8), ("1", (3, 4, 1), bool)],
)
def test_images_are_height_width_channels(tmp_path, mode, shape, dtype):
    picture(tmp_path / "a.png", mode=mode, value=1)
    (fragment,) = list_fragments(Files(str(tmp_path))).fragments
    found = fragment.read()
    assert (found["image"].shape, found["image"].dtype) == ((1, *shape), dtype)
    assert (found["image"] == 1).all()
    assert found["path"].tolist() == [str(tmp_path / "a.png")]


def test_images_with_a_palette_are_read_as_colours(tmp_path):
    picture(tmp_path / "a.png", value=200).rename(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    (fragment,) = list_fragments(Files(str(tmp_path))).fragments
    assert (fragment.read()["image"] == 200).all()


@pytest.mark.parametrize("other", [{"size": (5, 3)}, {"size": (4, 2)}, {"mode": "L"}, {"mode": "RGBA"}])
def test_images_that_differ_are_objects(tmp_path, other):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", **other)
    picture(tmp_path / "c.jpg")
    (fragment,) = list_fragments(Files(str(tmp_path))).fragments
    found = fragment.read()["image"]
    assert found.dtype == object
    assert [image.ndim for image in found] == [3, 3, 3]
    assert found[0].shape == found[2].shape != found[1].shape


def test_images_are_read_a_few_at_a_time(tmp_path):
    for number in range(IMAGES_PER_FRAGMENT + 3):
        picture(tmp_path / f"{number:03}.png", (1, 1), "L", number)
    listing = list_fragments(Files(str(tmp_path)))
    assert [fragment.num_examples for fragment in listing.fragments] == [IMAGES_PER_FRAGMENT, 3]
    assert [int(value) for fragment in listing.fragments for value in fragment.read()["image"].ravel()] == list(
        range(67)
    )
    assert listing.fragments[0].name == f"{tmp_path}/000.png and the 63 images after it"
    assert list(list_fragments(Files(str(tmp_path), columns=["image"])).fragments[1].read()) == ["image"]
    with pytest.raises(DataError, match="has no 'label'; it has 'image', 'path'"):
        list_fragments(Files(str(tmp_path), columns=["label"]))


def test_images_need_pillow(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"need Pillow; install it with `pip install pillow`"):
        list_fragments(Files(str(tmp_path)))


def test_formats_are_not_mixed(tmp_path):
    write(tmp_path / "a.parquet")
    write(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"of one format, but .*a.parquet is parquet and .*b.csv is not"):
        list_fragments(Files(str(tmp_path)))
    assert names(list_fragments(Files(str(tmp_path), format="csv"))) == ["b.csv"]


@pytest.mark.parametrize("on_unreadable", ["refuse", "skip"])
@pytest.mark.parametrize(
    ("ending", "changes", "words"),
    [
        ("parquet", {"x": np.arange(NUM)}, "'x' is double in .*a.parquet and int64 in .*b.parquet"),
        ("parquet", {"z": np.arange(NUM)}, "'z' is missing in .*a.parquet and int64 in .*b.parquet"),
        ("npz", {"x": np.zeros((NUM, 2))}, r"'x' is float64\[\] in .*a.npz and float64\[2\] in .*b.npz"),
        ("npz", {"x": np.zeros(NUM, np.float32)}, r"'x' is float64\[\] in .*a.npz and float32\[\] in .*b.npz"),
        ("csv", {"z": np.arange(NUM)}, "'z' is missing in .*a.csv and there in .*b.csv"),
        ("csv.gz", {"z": np.arange(NUM)}, "'z' is missing in .*a.csv.gz and there in .*b.csv.gz"),
    ],
)
def test_files_that_differ_are_refused_by_name_and_column(tmp_path, ending, changes, words, on_unreadable):
    write(tmp_path / f"a.{ending}")
    write(tmp_path / f"b.{ending}", **changes)
    with pytest.raises(DataError, match=f"need the same columns, but {words}; make them alike, or name the common"):
        list_fragments(Files(str(tmp_path), on_unreadable=on_unreadable))
    assert rows(list_fragments(Files(str(tmp_path), columns=["row"]))) == [*range(NUM), *range(NUM)]


def test_the_order_of_the_columns_does_not_matter(tmp_path):
    write(tmp_path / "a.parquet")
    pq.write_table(pa.table(dict(reversed(columns().items()))), tmp_path / "b.parquet")
    assert list_fragments(Files(str(tmp_path))).num_examples == 2 * NUM


def test_arrays_of_different_lengths_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros((4, 2)))
    np.save(tmp_path / "b.npy", 3.0)
    for name, words in (("a.npz", r"\{'x': \(3,\), 'y': \(4, 2\)\}"), ("b.npy", r"\{'data': \(\)\}")):
        with pytest.raises(DataError, match=f"must have one length, but those of .*{name} are of shape {words}"):
            list_fragments(Files(str(tmp_path / name)))


def test_a_file_without_columns_is_refused(tmp_path):
    pq.write_table(pa.table({"x": [1, 2]}).select([]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"made of columns, but .*a\.parquet has none; take it out"):
        list_fragments(Files(str(tmp_path)))


def test_files_without_examples_have_no_units(tmp_path):
    for ending in ("parquet", "npz"):
        write(tmp_path / f"a.{ending}", num=0)
        with pytest.raises(DataError, match=r"but 1 file\(s\) hold none that can be read, .*a\..* first; name others"):
            list_fragments(Files(str(tmp_path), format="parquet" if ending == "parquet" else "numpy"))
        write(tmp_path / f"b.{ending}")
        assert set(names(list_fragments(Files(f"{tmp_path}/*.{ending}")))) == {f"b.{ending}"}
