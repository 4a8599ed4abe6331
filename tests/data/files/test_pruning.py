"""Columns that are not wanted are not read: measured by the bytes that the filesystem gives (rule PI2)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from raytune_playbook.data.files.formats import list_fragments
from raytune_playbook.study.datasets import Files
from tests.data.example_files import NUM, picture, write

WIDE_BYTES = 2**21
OVERHEAD_BYTES = 2**18
"""At most so much of a file says what is in it; pyarrow reads a Parquet file's last 64 KiB to find that."""


class Counted(MemoryFileSystem):
    """A filesystem of another machine that counts what it gives; not cached, since every test has its own."""

    protocol = "counted"
    cachable = False
    num_bytes = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("counted://"))

    def _open(self, path: str, mode: str = "rb", **options: object) -> io.BytesIO:
        content = super()._open(path, mode, **options).read()

        class Counting(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                given = super().read(size)
                Counted.num_bytes += len(given)
                return given

        return Counting(content)


@pytest.fixture
def counted() -> Iterator[type[Counted]]:
    fsspec.register_implementation("counted", Counted, clobber=True)
    Counted.num_bytes = 0
    yield Counted
    fsspec.filesystem("memory").rm("/pruned", recursive=True)


def put(path: Path) -> int:
    fsspec.filesystem("memory").pipe(f"/pruned/{path.name}", path.read_bytes())
    return path.stat().st_size


def wide(num: int = NUM) -> np.ndarray:
    """Numbers that no codec makes much smaller."""
    return np.random.default_rng(0).random((num, WIDE_BYTES // 8 // num))


def read_bytes(counted: type[Counted], columns: list[str] | None = None) -> tuple[int, int]:
    """What the filesystem gave for listing the files, and for reading all fragments once."""
    counted.num_bytes = 0
    listing = list_fragments(Files("fsspec+counted:///pruned", columns=columns))
    of_listing, counted.num_bytes = counted.num_bytes, 0
    for fragment in listing.fragments:
        found = fragment.read()
        assert columns is None or list(found) == columns
    return of_listing, counted.num_bytes


@pytest.mark.parametrize("ending", ["parquet", "npz"])
@pytest.mark.parametrize("columns", [["x"], ["row", "x"]])
def test_pi2_columns_that_are_not_wanted_are_not_read(counted, tmp_path, ending, columns):
    given = wide()
    size = put(write(tmp_path / f"a.{ending}", wide=list(given) if ending == "parquet" else given))
    assert size > WIDE_BYTES // 2
    of_listing, of_reading = read_bytes(counted, columns)
    assert 0 < of_listing < OVERHEAD_BYTES
    assert 0 < of_reading < OVERHEAD_BYTES * 3  # a Parquet file has three row groups here, each read by itself
    _, of_all = read_bytes(counted)
    assert of_all > WIDE_BYTES // 2


def test_pi2_of_text_everything_is_read_and_only_the_wanted_columns_are_parsed(counted, tmp_path):
    size = put(write(tmp_path / "a.csv", wide=[each.tobytes().hex() for each in wide()]))
    assert size > WIDE_BYTES // 2
    assert read_bytes(counted, ["x"])[1] == read_bytes(counted)[1] == size


def test_pi2_images_are_opened_only_where_they_are_wanted(counted, tmp_path):
    size = sum(put(picture(tmp_path / f"{number}.png", (40, 30))) for number in range(3))
    assert read_bytes(counted, ["path"]) == (0, 0)
    assert read_bytes(counted, ["image"]) == read_bytes(counted) == (0, size)


def test_listing_reads_no_examples(counted, tmp_path):
    for ending in ("parquet", "npz"):
        given = wide()
        put(write(tmp_path / f"a.{ending}", wide=list(given) if ending == "parquet" else given))
        counted.num_bytes = 0
        list_fragments(Files(f"fsspec+counted:///pruned/a.{ending}"))
        assert 0 < counted.num_bytes < OVERHEAD_BYTES
