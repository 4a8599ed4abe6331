"""Which files are found, wherever they lie, and what is said of those that change."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from raytune_playbook.data.files.formats import list_fragments
from raytune_playbook.errors import DataError
from raytune_playbook.study.datasets import Files
from tests.data.example_files import NUM, files_in, names, picture, rows, write


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
        ("/*4/**", ["2024/[d]/y.csv", "2024/deep/y.csv", "2024/x.csv"]),
        ("/a**", ["a.csv"]),
        ("/a*/**", ["a.csv"]),
        ("/**", ["2023/x.csv", "2024/[d]/y.csv", "2024/deep/y.csv", "2024/x.csv", "a.csv", "b.csv"]),
        ("/*4/[d]", ["2024/[d]/y.csv"]),
        (["/b.csv", "/a.csv", "/2023"], ["b.csv", "a.csv", "2023/x.csv"]),
        ("/2024/_tmp.csv", ["2024/_tmp.csv"]),  # named by the user
    ],
)
def test_files_folders_and_patterns(tree, uris, found):
    for prefix in (str(tree), tree.as_uri() if "*" not in str(uris) else str(tree)):
        given = [prefix + uri for uri in uris] if isinstance(uris, list) else prefix + uris
        listing = list_fragments(Files(given))
        assert [str(Path(fragment.file.path).relative_to(tree)) for fragment in listing.fragments] == found
        assert all(fragment.read()["row"].tolist() == [0] for fragment in listing.fragments)


def test_a_format_that_is_given_takes_any_ending(tree):
    for uri in (f"{tree}/a0.txt", f"{tree}/*.txt"):
        assert names(list_fragments(Files(uri, format="csv"))) == ["a0.txt"]
    assert names(list_fragments(Files(str(tree), format="csv"))) == [
        "x.csv",
        "y.csv",
        "y.csv",
        "x.csv",
        "a.csv",
        "b.csv",
    ]
    with pytest.raises(DataError, match=r"the ending of .*a0.txt tells none; give format="):
        list_fragments(Files(f"{tree}/a0.txt"))


def test_endings_in_capitals(tmp_path):
    shutil.move(write(tmp_path / "a.csv"), tmp_path / "A.CSV")
    assert names(list_fragments(Files(str(tmp_path)))) == ["A.CSV"]


@pytest.mark.parametrize("uri", ["here/a.csv", "here", "here/*.csv", "./here/../here/a.csv", "~/here"])
def test_units_of_relative_paths_can_be_read_from_other_folders(tmp_path, monkeypatch, uri):
    write(tmp_path / "here" / "a.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    listing = list_fragments(Files(uri))
    monkeypatch.chdir("/")
    assert rows(listing) == list(range(NUM))
    assert all(Path(fragment.file.path).is_absolute() for fragment in listing.fragments)


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
        list_fragments(Files(given))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["foo://bucket/x", "foo:// x", "~nobody-of-this-name/x"])
def test_what_cannot_be_connected_to_is_one_sentence(uri):
    with pytest.raises(DataError, match=r"Examples must be readable, but .* is not") as caught:
        list_fragments(Files(uri))
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
    listing = list_fragments(Files(f"fsspec+memory:///{uri}"))
    assert listing.is_remote
    assert rows(pickle.loads(pickle.dumps(listing))) == list(range(NUM))
    assert listing.fragments[0].name == "fsspec+memory://bucket/sub folder/a%20b.csv"
    local = write(tmp_path / "b.csv", NUM)
    assert list_fragments(Files([str(local), f"fsspec+memory:///{uri}"])).is_remote
    assert not list_fragments(Files(str(local))).is_remote


@pytest.mark.parametrize("ending", ["parquet", "npz", "csv", "png"])
def test_a_file_that_disappears_is_one_sentence(tmp_path, ending):
    path = picture(tmp_path / "a.png") if ending == "png" else write(tmp_path / f"a.{ending}")
    fragment = list_fragments(Files(str(path))).fragments[-1]
    path.unlink()
    with pytest.raises(DataError, match=rf"must be readable, but (row group 2 of )?{path} is not \(FileNotFoundError"):
        fragment.read()


def test_a_link_to_nowhere_is_not_passed_over(tmp_path):
    write(tmp_path / "a.csv")
    (tmp_path / "b.csv").symlink_to("gone.csv")
    with pytest.raises(DataError, match=r"b\.csv is not .*FileNotFoundError"):
        list_fragments(Files(str(tmp_path)))
    assert len(list_fragments(Files(str(tmp_path), on_unreadable="skip")).skipped) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_one_sentence(tmp_path):
    write(tmp_path / "a" / "a.csv").parent.chmod(0)
    with pytest.raises(DataError, match="is not"):
        list_fragments(Files(str(tmp_path / "a")))
    (tmp_path / "a").chmod(0o700)


@pytest.mark.parametrize("more", [-3, -1, 1, 3])
@pytest.mark.parametrize("ending", ["parquet", "npz", "npy"])
def test_a_file_that_grows_or_shrinks_while_a_round_runs_is_noticed(tmp_path, ending, more):
    """A CSV file says nowhere how many examples it holds, so that no round counts on a number; an image is one."""
    path = write(tmp_path / f"a.{ending}")
    last = list_fragments(Files(str(path))).fragments[-1]
    write(path, num=NUM + more)
    before = last.num_examples or 0
    with pytest.raises(DataError, match=rf"{path} held {before} examples when it began and holds {before + more} now"):
        last.read()
    write(path, num=NUM)
    assert len(next(iter(last.read().values()))) == before


@pytest.mark.parametrize("ending", ["parquet", "npz", "csv", "png"])
def test_the_version_changes_when_the_file_does(tmp_path, ending):
    def version() -> list[str]:
        return [fragment.file.version for fragment in list_fragments(Files(str(tmp_path))).fragments]

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
    """Fragments travel to tasks, whose processes have no more than their fields."""
    listing = list_fragments(Files(str(files_in(tmp_path, "parquet", 1))))
    code = "import pickle, sys; print(*(row for each in pickle.load(sys.stdin.buffer) for row in each.read()['row']))"
    packed = pickle.dumps(listing.fragments)
    done = subprocess.run([sys.executable, "-c", code], input=packed, capture_output=True, cwd="/")
    assert list(map(int, done.stdout.split())) == list(range(NUM))
