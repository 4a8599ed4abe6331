"""The registry of formats, and how storages know the files whose examples were preprocessed."""

from __future__ import annotations

import numpy as np
import pytest

from raytune_playbook.data.files.csv import CsvFile
from raytune_playbook.data.files.find import File
from raytune_playbook.data.files.formats import FORMATS, list_fragments
from raytune_playbook.data.files.images import ImageFiles
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.data.files.parquet import RowGroup
from raytune_playbook.errors import SpecError
from raytune_playbook.study.datasets import Files
from tests.data.example_files import picture, write


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz", "npz", "npy", "png"])
def test_a_format_is_told_by_the_ending_or_given(tmp_path, ending):
    path = picture(tmp_path / "a.png") if ending == "png" else write(tmp_path / f"a.{ending}")
    told = list_fragments(Files(str(tmp_path)))
    assert list_fragments(Files(str(tmp_path), format=told.format)) == told
    assert told.fragments
    assert f".{ending}" in FORMATS[told.format].endings
    assert {fragment.file.path for fragment in told.fragments} == {str(path)}


def test_no_ending_belongs_to_two_formats():
    endings = [ending for each in FORMATS.values() for ending in each.endings]
    assert len(set(endings)) == len(endings)
    assert all(ending == ending.lower() and ending[0] == "." for ending in endings)


@pytest.mark.parametrize("given", ["Parquet", "", ["csv"], 3])
def test_a_format_that_does_not_exist_is_one_sentence(tmp_path, given):
    write(tmp_path / "a.csv")
    words = r"^Files.format must be one of 'parquet', 'csv', 'numpy', 'images', None, but got .*; correct it\.$"
    with pytest.raises(SpecError, match=words) as caught:
        list_fragments(Files(str(tmp_path), format=given))
    assert repr(given) in str(caught.value)


# ------------------------------------------------------------------ identities

A, B = File("", "/data/a", 120, "120 7"), File("s3://bucket?region=x", "bucket/b", 9, "9 None")


@pytest.mark.parametrize(
    ("listing", "recorded"),
    [
        (
            Listing("parquet", (RowGroup((A,), ("x", "y"), 0, 8, 64), RowGroup((A,), ("x", "y"), 1, 4, 32))),
            "Listing(units=(Unit(format='parquet', path='/data/a', filesystem='', columns=('x', 'y'), row_group=0, "
            "num_examples=8, num_bytes=64, more_paths=(), version='120 7'), Unit(format='parquet', path='/data/a', "
            "filesystem='', columns=('x', 'y'), row_group=1, num_examples=4, num_bytes=32, more_paths=(), "
            "version='120 7')), is_remote=False, skipped=())",
        ),
        (
            Listing("csv", (CsvFile((B,), None, num_bytes=9),), ("b is damaged",)),
            "Listing(units=(Unit(format='csv', path='bucket/b', filesystem='s3://bucket?region=x', columns=None, "
            "row_group=None, num_examples=None, num_bytes=9, more_paths=(), version='9 None'),), is_remote=True, "
            "skipped=('b is damaged',))",
        ),
        (
            Listing("images", (ImageFiles((A, A), None, num_examples=2, num_bytes=240),)),
            "Listing(units=(Unit(format='images', path='/data/a', filesystem='', columns=None, row_group=None, "
            "num_examples=2, num_bytes=240, more_paths=('/data/a',), version='120 7, 120 7'),), is_remote=False, "
            "skipped=())",
        ),
    ],
)
def test_storages_know_files_by_the_same_text_as_ever(listing, recorded):
    """Else no round would find what was preprocessed before."""
    assert listing.identity == recorded


@pytest.mark.parametrize("ending", ["parquet", "csv", "npz", "png"])
def test_other_files_columns_and_versions_are_other_identities(tmp_path, ending):
    def add(name: str, num: int) -> None:
        path = tmp_path / f"{name}.{ending}"
        picture(path, (num, num)) if ending == "png" else write(path, num=num)

    def identity(**changes: object) -> str:
        return list_fragments(Files(str(tmp_path), **changes)).identity

    add("a", 5)
    found = [identity(), identity(columns=["image" if ending == "png" else "x"])]
    assert identity() == found[0]
    add("b", 5)
    found.append(identity())
    add("b", 6)
    found.append(identity())
    assert len(set(found)) == 4
    assert np.all([str(tmp_path / f"a.{ending}") in each for each in found])
