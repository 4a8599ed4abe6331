"""Finding, listing and reading files of every format, whole and damaged (rule PI2)."""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raytune_playbook.data.columns import Columns, concatenated
from raytune_playbook.data.units import IMAGES_PER_UNIT, Listing, list_units
from raytune_playbook.errors import DataError
from raytune_playbook.study.source import Files

NUM = 20
"""Examples of a file."""


def columns(first: int = 0, num: int = NUM) -> Columns:
    row = np.arange(first, first + num)
    return {"row": row, "x": row / 4, "name": np.array([f"e{each}" for each in row], dtype=object)}


def write(path: Path, first: int = 0, num: int = NUM, **changes: object) -> Path:
    """A file of the format that its ending tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    given = columns(first, num) | changes
    match path.suffix:
        case ".parquet":
            table = pa.table(given)
            pq.write_table(
                table, path, row_group_size=8, compression="none", use_dictionary=False, write_page_checksum=True
            )
        case ".npz":
            np.savez_compressed(path, **{name: values for name, values in given.items() if name != "name"})
        case ".npy":
            np.save(path, given["x"])
        case ".csv":
            pacsv.write_csv(pa.table(given), path)
        case ".gz":
            plain = write(path.with_suffix(""), first, num, **changes)
            path.write_bytes(gzip.compress(plain.read_bytes()))
            plain.unlink()
    return path


def picture(path: Path, size: tuple[int, int] = (4, 3), mode: str = "RGB", value: int = 7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if len(mode) == 1 else (value,) * len(mode)).save(path)
    return path


def names(listing: Listing) -> list[str]:
    return [Path(path).name for unit in listing.units for path in (unit.path, *unit.more_paths)]


def rows(listing: Listing) -> list[int]:
    return concatenated([{"row": unit.read()["row"]} for unit in listing.units])["row"].tolist()


def files_in(folder: Path, ending: str, num_files: int = 3) -> Path:
    for number in range(num_files):
        write(folder / f"part-{number}.{ending}", NUM * number)
    return folder


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    ("ending", "num_units", "total"), [("parquet", 9, 60), ("npz", 3, 60), ("csv", 3, None), ("csv.gz", 3, None)]
)
def test_every_example_is_read_once_and_in_order(tmp_path, ending, num_units, total):
    listing = list_units(Files(str(files_in(tmp_path, ending))))
    assert len(listing.units) == num_units
    assert listing.num_examples == total
    assert (listing.is_remote, listing.skipped) == (False, ())
    assert rows(listing) == list(range(60))
    found = listing.units[-1].read()
    expected = columns(60 - len(found["row"]), len(found["row"]))
    for name in found:
        assert found[name].tolist() == expected[name].tolist()
    assert found.keys() == expected.keys() - ({"name"} if ending == "npz" else set())
    assert all(unit.num_bytes > 0 for unit in listing.units)
    assert listing.units == pickle.loads(pickle.dumps(listing)).units


@pytest.mark.parametrize("ending", ["parquet", "npz", "csv", "csv.gz"])
def test_pi2_only_the_columns_that_are_asked_for_are_read(tmp_path, ending):
    write(tmp_path / f"a.{ending}", **{"x.y": np.arange(NUM)})
    (whole, *_) = list_units(Files(str(tmp_path))).units
    (unit, *_) = list_units(Files(str(tmp_path), columns=["x"])).units
    assert list(unit.read()) == ["x"]
    assert unit.num_bytes < whole.num_bytes or "csv" in ending
    (both, *_) = list_units(Files(str(tmp_path), columns=["x.y", "row"])).units
    assert list(both.read()) == ["x.y", "row"]
    with pytest.raises(DataError, match=rf"each must be in every file, but .*a.{ending} has no 'z'; it has 'row', 'x'"):
        list_units(Files(str(tmp_path), columns=["row", "z"]))


def test_an_array_of_its_own_is_called_data(tmp_path):
    write(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.asfortranarray(np.zeros((5,))))
    listing = list_units(Files(str(tmp_path)))
    assert listing.num_examples == NUM + 5
    assert listing.units[0].read()["data"].tolist() == columns()["x"].tolist()


@pytest.mark.parametrize(
    ("mode", "shape", "dtype"),
    [("RGB", (3, 4, 3), np.uint8), ("RGBA", (3, 4, 4), np.uint8), ("L", (3, 4, 1), np.uint8), ("1", (3, 4, 1), bool)],
)
def test_images_are_height_width_channels(tmp_path, mode, shape, dtype):
    picture(tmp_path / "a.png", mode=mode, value=1)
    (unit,) = list_units(Files(str(tmp_path))).units
    found = unit.read()
    assert (found["image"].shape, found["image"].dtype) == ((1, *shape), dtype)
    assert (found["image"] == 1).all()
    assert found["path"].tolist() == [str(tmp_path / "a.png")]


def test_images_with_a_palette_are_read_as_colours(tmp_path):
    picture(tmp_path / "a.png", value=200).rename(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    (unit,) = list_units(Files(str(tmp_path))).units
    assert (unit.read()["image"] == 200).all()


@pytest.mark.parametrize("other", [{"size": (5, 3)}, {"size": (4, 2)}, {"mode": "L"}, {"mode": "RGBA"}])
def test_images_that_differ_are_objects(tmp_path, other):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", **other)
    picture(tmp_path / "c.jpg")
    (unit,) = list_units(Files(str(tmp_path))).units
    found = unit.read()["image"]
    assert found.dtype == object
    assert [image.ndim for image in found] == [3, 3, 3]
    assert found[0].shape == found[2].shape != found[1].shape


def test_images_are_read_a_few_at_a_time(tmp_path):
    for number in range(IMAGES_PER_UNIT + 3):
        picture(tmp_path / f"{number:03}.png", (1, 1), "L", number)
    listing = list_units(Files(str(tmp_path)))
    assert [unit.num_examples for unit in listing.units] == [IMAGES_PER_UNIT, 3]
    assert [int(value) for unit in listing.units for value in unit.read()["image"].ravel()] == list(range(67))
    assert listing.units[0].name == f"{tmp_path}/000.png and the 63 images after it"
    assert list(list_units(Files(str(tmp_path), columns=["image"])).units[1].read()) == ["image"]
    with pytest.raises(DataError, match="has no 'label'; it has 'image', 'path'"):
        list_units(Files(str(tmp_path), columns=["label"]))


def test_images_need_pillow(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"need Pillow; install it with `pip install 'raytune-playbook\[images\]'`"):
        list_units(Files(str(tmp_path)))


# ------------------------------------------------------------------ finding


@pytest.fixture
def tree(tmp_path) -> Path:
    folder = tmp_path / "data [1]?"  # what a pattern would take for wildcards
    paths = ["b.csv", "a.csv", "a0.txt", "2023/x.csv", "2024/x.csv", "2024/deep/y.csv", "2024/[d]/y.csv"]
    for path in [*paths, ".hidden/z.csv", "2024/_tmp.csv"]:
        shutil.move(write(folder / f"{path}.csv", num=1), folder / path)
    return folder


@pytest.mark.parametrize(
    ("uris", "found"),
    [
        ("", ["2023/x.csv", "2024/[d]/y.csv", "2024/deep/y.csv", "2024/x.csv", "a.csv", "b.csv"]),
        ("/", ["2023/x.csv", "2024/[d]/y.csv", "2024/deep/y.csv", "2024/x.csv", "a.csv", "b.csv"]),
        ("/*.csv", ["a.csv", "b.csv"]),
        ("/a*", ["a.csv"]),
        ("/*/*.csv", ["2023/x.csv", "2024/x.csv"]),
        ("/**/*.csv", ["2023/x.csv", "2024/[d]/y.csv", "2024/deep/y.csv", "2024/x.csv", "a.csv", "b.csv"]),
        ("/**/y.csv", ["2024/[d]/y.csv", "2024/deep/y.csv"]),
        ("/20*", ["2023/x.csv", "2024/[d]/y.csv", "2024/deep/y.csv", "2024/x.csv"]),
        ("/*4/deep", ["2024/deep/y.csv"]),
        ("/*4/[d]", ["2024/[d]/y.csv"]),
        (["/b.csv", "/a.csv", "/2023"], ["b.csv", "a.csv", "2023/x.csv"]),
        ("/2024/_tmp.csv", ["2024/_tmp.csv"]),  # named by the user
    ],
)
def test_files_folders_and_patterns(tree, uris, found):
    for prefix in (str(tree), tree.as_uri() if "*" not in str(uris) else str(tree)):
        given = [prefix + uri for uri in uris] if isinstance(uris, list) else prefix + uris
        listing = list_units(Files(given))
        assert [str(Path(unit.path).relative_to(tree)) for unit in listing.units] == found
        assert all(unit.read()["row"].tolist() == [0] for unit in listing.units)


def test_a_format_that_is_given_takes_any_ending(tree):
    for uri in (f"{tree}/a0.txt", f"{tree}/*.txt"):
        assert names(list_units(Files(uri, format="csv"))) == ["a0.txt"]
    assert names(list_units(Files(str(tree), format="csv"))) == ["x.csv", "y.csv", "y.csv", "x.csv", "a.csv", "b.csv"]
    with pytest.raises(DataError, match=r"the ending of .*a0.txt tells none; give format="):
        list_units(Files(f"{tree}/a0.txt"))


def test_endings_in_capitals(tmp_path):
    shutil.move(write(tmp_path / "a.csv"), tmp_path / "A.CSV")
    assert names(list_units(Files(str(tmp_path)))) == ["A.CSV"]


@pytest.mark.parametrize("uri", ["here/a.csv", "here", "here/*.csv", "./here/../here/a.csv", "~/here"])
def test_units_of_relative_paths_can_be_read_from_other_folders(tmp_path, monkeypatch, uri):
    write(tmp_path / "here" / "a.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    listing = list_units(Files(uri))
    monkeypatch.chdir("/")
    assert rows(listing) == list(range(NUM))
    assert all(Path(unit.path).is_absolute() for unit in listing.units)


@pytest.mark.parametrize(
    ("uris", "words"),
    [
        ("gone.csv", "there is no .*gone.csv; correct the path"),
        ("gone", "there is no .*gone; correct the path"),
        ("empty", "'.*empty' matches no file; correct it"),
        ("*.parquet", r"'.*\*.parquet' matches no file"),
        (["a.csv", "a.csv/../*.csv"], "names .*a.csv twice"),
        (["a.csv", "*"], "names .*a.csv twice"),
    ],
)
def test_what_is_not_there_or_there_twice_is_refused(tmp_path, uris, words):
    write(tmp_path / "a.csv")
    (tmp_path / "empty").mkdir()
    given = [f"{tmp_path}/{uri}" for uri in uris] if isinstance(uris, list) else f"{tmp_path}/{uris}"
    if "/../" in str(given):
        given = [f"{tmp_path}/a.csv", f"{tmp_path}/a.csv*"]
    with pytest.raises(DataError, match=words) as caught:
        list_units(Files(given))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["foo://bucket/x", "foo:// x", "~nobody-of-this-name/x"])
def test_what_cannot_be_connected_to_is_one_sentence(uri):
    with pytest.raises(DataError, match=r"Examples must be readable, but .* is not") as caught:
        list_units(Files(uri))
    assert "\n" not in str(caught.value)


@pytest.fixture
def memory():
    """A filesystem of another machine, as far as pyarrow can tell."""
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.rm("/bucket", recursive=True)


@pytest.mark.parametrize("uri", ["bucket", "bucket/sub folder", "bucket/*/*.csv", "bucket/sub folder/a%20b.csv"])
def test_files_elsewhere_are_read_where_they_are(memory, tmp_path, uri):
    memory.pipe("/bucket/sub folder/a%20b.csv", write(tmp_path / "a.csv").read_bytes())
    listing = list_units(Files(f"fsspec+memory:///{uri}"))
    assert listing.is_remote
    assert rows(pickle.loads(pickle.dumps(listing))) == list(range(NUM))
    assert listing.units[0].name == "fsspec+memory://bucket/sub folder/a%20b.csv"
    local = write(tmp_path / "b.csv", NUM)
    assert list_units(Files([str(local), f"fsspec+memory:///{uri}"])).is_remote
    assert not list_units(Files(str(local))).is_remote


# ------------------------------------------------------------------ what does not fit together


def test_formats_are_not_mixed(tmp_path):
    write(tmp_path / "a.parquet")
    write(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"of one format, but .*a.parquet is parquet and .*b.csv is not"):
        list_units(Files(str(tmp_path)))
    assert names(list_units(Files(str(tmp_path), format="csv"))) == ["b.csv"]


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
        list_units(Files(str(tmp_path), on_unreadable=on_unreadable))
    assert rows(list_units(Files(str(tmp_path), columns=["row"]))) == [*range(NUM), *range(NUM)]


def test_the_order_of_the_columns_does_not_matter(tmp_path):
    write(tmp_path / "a.parquet")
    pq.write_table(pa.table(dict(reversed(columns().items()))), tmp_path / "b.parquet")
    assert list_units(Files(str(tmp_path))).num_examples == 2 * NUM


def test_arrays_of_different_lengths_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros((4, 2)))
    np.save(tmp_path / "b.npy", 3.0)
    for name, words in (("a.npz", r"\{'x': \(3,\), 'y': \(4, 2\)\}"), ("b.npy", r"\{'data': \(\)\}")):
        with pytest.raises(DataError, match=f"must have one length, but those of .*{name} are of shape {words}"):
            list_units(Files(str(tmp_path / name)))


def test_a_file_without_columns_is_refused(tmp_path):
    pq.write_table(pa.table({"x": [1, 2]}).select([]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"made of columns, but .*a\.parquet has none; take it out"):
        list_units(Files(str(tmp_path)))


def test_files_without_examples_have_no_units(tmp_path):
    for ending in ("parquet", "npz"):
        write(tmp_path / f"a.{ending}", num=0)
        with pytest.raises(DataError, match=r"but 1 file\(s\) hold none that can be read, .*a\..* first; name others"):
            list_units(Files(str(tmp_path), format="parquet" if ending == "parquet" else "numpy"))
        write(tmp_path / f"b.{ending}")
        assert set(names(list_units(Files(f"{tmp_path}/*.{ending}")))) == {f"b.{ending}"}


# ------------------------------------------------------------------ damage

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
        for unit in list_units(Files(str(tmp_path))).units:
            unit.read()
    assert "\n" not in str(caught.value)
    listing = list_units(Files(str(tmp_path), on_unreadable="skip"))
    found = [unit for unit in listing.units if unit.path == str(good)]
    assert [row for unit in found for row in unit.read().get("row", range(NUM))] == list(range(NUM))
    # What the header does not tell, reading does.
    for unit in listing.units[len(found) :]:
        with pytest.raises(DataError, match=words):
            unit.read()
    assert len(listing.skipped) == (len(found) == len(listing.units))
    assert all(str(bad) in sentence for sentence in listing.skipped)
    good.unlink()
    if len(found) == len(listing.units):
        with pytest.raises(DataError, match=rf"hold none that can be read, {bad} first; name others. Examples must be"):
            list_units(Files(str(tmp_path), on_unreadable="skip"))


def test_a_damaged_row_group_is_named_and_the_others_are_read(tmp_path):
    path = write(tmp_path / "a.parquet")
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    at = column.data_page_offset + column.total_compressed_size - 8  # a number among the values, nothing else
    content[at : at + 8] = np.float64(0.125).tobytes()
    path.write_bytes(content)
    first, second, third = list_units(Files(str(tmp_path))).units
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
                for unit in list_units(Files(str(path))).units:
                    unit.read()
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
    (unit,) = list_units(Files(str(tmp_path))).units
    with pytest.raises(DataError, match=f"Examples must be readable, but {bad} is not"):
        unit.read()
    units = list_units(Files(str(tmp_path), on_unreadable="skip")).units
    assert [unit.num_examples for unit in units] == [1, 1, 1]
    with pytest.raises(DataError, match=f"Examples must be readable, but {bad} is not"):
        units[1].read()
    assert units[0].read()["image"].shape == units[2].read()["image"].shape == (1, 30, 40, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("row,x\n1,2\n3\n", r"a.csv is not \(ArrowInvalid: CSV parse error: Expected 2 columns, got 1"),
        ("row,row\n1,2\n", "a.csv is not .*row"),
        ("row,x\n1,\n2,3\n", "1 of 'x' are missing in .*a.csv"),
    ],
)
def test_wrong_csv_files_are_one_sentence(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        for unit in list_units(Files(str(tmp_path))).units:
            unit.read()


def test_a_column_that_is_no_number_from_the_second_block_on_is_still_one_column(tmp_path):
    lines = [*(f"{number}" for number in range(300_000)), "0.5"]  # more than pyarrow looks at for the types
    (tmp_path / "a.csv").write_text("\n".join(["x", *lines, ""]))
    (unit,) = list_units(Files(str(tmp_path))).units
    found = unit.read()["x"]
    assert (found.dtype, len(found), found[-1]) == (np.float64, 300_001, 0.5)


# ------------------------------------------------------------------ files that change


@pytest.mark.parametrize("ending", ["parquet", "npz", "csv", "png"])
def test_a_file_that_disappears_is_one_sentence(tmp_path, ending):
    path = picture(tmp_path / "a.png") if ending == "png" else write(tmp_path / f"a.{ending}")
    unit = list_units(Files(str(path))).units[-1]
    path.unlink()
    with pytest.raises(DataError, match=rf"must be readable, but (row group 2 of )?{path} is not \(FileNotFoundError"):
        unit.read()


def test_a_link_to_nowhere_is_not_passed_over(tmp_path):
    write(tmp_path / "a.csv")
    (tmp_path / "b.csv").symlink_to("gone.csv")
    with pytest.raises(DataError, match=r"b\.csv is not .*FileNotFoundError"):
        list_units(Files(str(tmp_path)))
    assert len(list_units(Files(str(tmp_path), on_unreadable="skip")).skipped) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_one_sentence(tmp_path):
    write(tmp_path / "a" / "a.csv").parent.chmod(0)
    with pytest.raises(DataError, match="is not"):
        list_units(Files(str(tmp_path / "a")))
    (tmp_path / "a").chmod(0o700)


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_a_file_that_changes_while_a_round_runs_is_noticed(tmp_path, ending):
    path = write(tmp_path / f"a.{ending}")
    unit = list_units(Files(str(path))).units[0]
    write(path, num=7)
    with pytest.raises(DataError, match=rf"{path} held {unit.num_examples} examples when it began and holds 7 now"):
        unit.read()


@pytest.mark.parametrize("ending", ["parquet", "npz", "csv", "png"])
def test_the_version_changes_when_the_file_does(tmp_path, ending):
    def version() -> list[str]:
        return [unit.version for unit in list_units(Files(str(tmp_path))).units]

    path = picture(tmp_path / "a.png") if ending == "png" else write(tmp_path / f"a.{ending}")
    before = version()
    assert all(before)
    assert version() == before
    os.utime(path, ns=(1, 1))
    touched = version()
    assert not set(touched) & set(before)
    path.write_bytes(path.read_bytes() + b"")
    os.utime(path, ns=(1, 1))
    assert version() == touched
    picture(path, (90, 9)) if ending == "png" else write(path, num=NUM + 1)
    os.utime(path, ns=(1, 1))
    assert not set(version()) & set(touched)


def test_other_processes_read_the_same(tmp_path):
    """Units travel to tasks, whose processes have no more than their fields."""
    listing = list_units(Files(str(files_in(tmp_path, "parquet", 1))))
    code = "import pickle, sys; print(*(row for unit in pickle.load(sys.stdin.buffer) for row in unit.read()['row']))"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(listing.units), capture_output=True, cwd="/")
    assert list(map(int, done.stdout.split())) == list(range(NUM))
