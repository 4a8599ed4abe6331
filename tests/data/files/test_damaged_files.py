"""Damaged files are one sentence that names the place, or are left out and counted."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from raytune_playbook.data.files.formats import list_fragments
from raytune_playbook.errors import DataError
from raytune_playbook.study.datasets import Files
from tests.data.example_files import NUM, picture, write

DAMAGE = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) * 2 // 3],
    "text": lambda content: b"not what it seems" * 20,
    "zeros": lambda content: bytes(len(content)),
    "overwritten": lambda content: content[:60] + b"\x93" * (len(content) - 60),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("ending", ["parquet", "npz", "npy", "csv.gz"])
def test_damaged_files_are_refused_or_left_out_and_counted(tmp_path, ending, how):
    good, bad = write(tmp_path / f"a.{ending}"), write(tmp_path / f"b.{ending}", NUM)
    bad.write_bytes(DAMAGE[how](bad.read_bytes()))
    words = rf"Examples must be readable, but (row group \d of )?{bad} is not \(.*: .*\); restore it, take it out, or"
    with pytest.raises(DataError, match=words) as caught:
        for fragment in list_fragments(Files(str(tmp_path))).fragments:
            fragment.read()
    assert "\n" not in str(caught.value)
    listing = list_fragments(Files(str(tmp_path), on_unreadable="skip"))
    found = [fragment for fragment in listing.fragments if fragment.file.path == str(good)]
    assert [row for fragment in found for row in fragment.read().get("row", range(NUM))] == list(range(NUM))
    # What the header does not tell, reading does.
    for fragment in listing.fragments[len(found) :]:
        with pytest.raises(DataError, match=words):
            fragment.read()
    assert len(listing.skipped) == (len(found) == len(listing.fragments))
    assert all(str(bad) in sentence for sentence in listing.skipped)
    good.unlink()
    if len(found) == len(listing.fragments):
        with pytest.raises(DataError, match=rf"hold none that can be read, {bad} first; name others. Examples must be"):
            list_fragments(Files(str(tmp_path), on_unreadable="skip"))


def test_a_damaged_row_group_is_named_and_the_others_are_read(tmp_path):
    path = write(tmp_path / "a.parquet")
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    at = column.data_page_offset + column.total_compressed_size - 8  # a number among the values, nothing else
    content[at : at + 8] = np.float64(0.125).tobytes()
    path.write_bytes(content)
    first, second, third = list_fragments(Files(str(tmp_path))).fragments
    with pytest.raises(DataError, match=f"but row group 1 of {path} is not .*restore it"):
        second.read()
    assert [*first.read()["row"], *third.read()["row"]] == [*range(8), *range(16, 20)]


def test_bytes_overwritten_anywhere_are_a_sentence_or_nothing(tmp_path):
    """A fuzz: no reader's exception gets through."""
    rng = np.random.default_rng(0)
    picture(tmp_path / "a.png", (40, 30))
    picture(tmp_path / "a.jpg", (40, 30))
    picture(tmp_path / "a.gif", (40, 30), "L")
    for ending in ("npz", "npy", "csv", "csv.gz", "parquet"):
        write(tmp_path / f"a.{ending}")
    num_refused = 0
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(content)
            for at in rng.integers(0, len(content), 4):
                damaged[at] = rng.integers(0, 256)
            path.write_bytes(damaged)
            try:
                for fragment in list_fragments(Files(str(path))).fragments:
                    fragment.read()
            except DataError as error:
                assert str(path) in str(error)
                num_refused += 1
        path.write_bytes(content)
    assert num_refused > 100


@pytest.mark.parametrize("how", ["empty", "cut short", "text"])
@pytest.mark.parametrize("ending", ["png", "jpg", "gif"])
def test_a_damaged_image_is_named_and_left_out_alone(tmp_path, ending, how):
    for name in "abc":
        picture(tmp_path / f"{name}.{ending}", (40, 30))
    bad = tmp_path / f"b.{ending}"
    bad.write_bytes(DAMAGE[how](bad.read_bytes()))
    (fragment,) = list_fragments(Files(str(tmp_path))).fragments
    with pytest.raises(DataError, match=f"Examples must be readable, but {bad} is not"):
        fragment.read()
    fragments = list_fragments(Files(str(tmp_path), on_unreadable="skip")).fragments
    assert [fragment.num_examples for fragment in fragments] == [1, 1, 1]
    with pytest.raises(DataError, match=f"Examples must be readable, but {bad} is not"):
        fragments[1].read()
    assert fragments[0].read()["image"].shape == fragments[2].read()["image"].shape == (1, 30, 40, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("row,x\n1,2\n3\n", r"a.csv is not \(ArrowInvalid: CSV parse error: (Row #3: )?Expected 2 columns, got 1"),
        ("row,row\n1,2\n", "a.csv is not .*row"),
        ("row,x\n1,\n2,3\n", "1 of 'x' are missing in .*a.csv"),
    ],
)
def test_wrong_csv_files_are_one_sentence(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        for fragment in list_fragments(Files(str(tmp_path))).fragments:
            fragment.read()


def test_a_column_that_is_no_number_from_the_second_block_on_is_still_one_column(tmp_path):
    lines = [*(f"{number}" for number in range(300_000)), "0.5"]  # more than pyarrow looks at for the types
    (tmp_path / "a.csv").write_text("\n".join(["x", *lines, ""]))
    (fragment,) = list_fragments(Files(str(tmp_path))).fragments
    found = fragment.read()["x"]
    assert (found.dtype, len(found), found[-1]) == (np.float64, 300_001, 0.5)
