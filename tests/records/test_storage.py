"""A storage: which URIs it takes, that it can be written, and that files are whole or not there."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from raytune_playbook.errors import InputError, RunError, StorageError, StorageFailure
from raytune_playbook.records.storage import Storage, file_at
from raytune_playbook.records.store import RoundStore, round_names
from tests.faults.disks import fill, hidden, remount


@pytest.mark.parametrize(
    "uri", ["foo://bucket", "http://host/rounds", "file://elsewhere/rounds", "~no-such-user/rounds"]
)
def test_bad_uri_is_one_sentence(uri):
    with pytest.raises(StorageError, match="Storage: a folder's path or a URI that pyarrow knows") as caught:
        Storage(uri)
    assert repr(uri) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_and_file_uris_name_the_same_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    names = [str(tmp_path / "rounds"), "rounds", "~/rounds", f"file://{tmp_path}/rounds"]
    assert {Storage(name).local_path for name in names} == {tmp_path / "rounds"}


def test_a_path_may_hold_blanks_and_percent_signs(tmp_path):
    storage = Storage(str(tmp_path / "my rounds 100%20"))
    storage.write("x/file", b"content")
    assert (tmp_path / "my rounds 100%20" / "x" / "file").read_bytes() == b"content"


def test_a_folder_of_an_object_store_whose_uri_has_options_is_in_that_store(s3):
    storage = s3()  # s3://bucket/rounds?region=us-east-1
    store = RoundStore(storage, "round")
    assert store.uri == storage.uri.replace("/rounds?", "/rounds/round?")
    Storage(store.uri).write("all/checkpoints/00000/4/model.pt", b"x")  # as a worker does
    assert storage.read("round/all/checkpoints/00000/4/model.pt") == b"x"
    assert Storage(store.uri).fs.region == storage.fs.region == "us-east-1"
    folder, name = file_at(storage.uri_of("exported.parquet"))
    folder.write(name, b"y")
    assert storage.read("exported.parquet") == b"y"


def test_check_writable_leaves_no_trace(tmp_path):
    Storage(str(tmp_path / "a" / "b" / "c")).check_writable()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("mine")
    Storage(str(tmp_path / "kept")).check_writable()
    Storage(str(tmp_path / "kept" / "new")).check_writable()
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]


def test_unwritable_folder_is_one_sentence_and_leaves_no_trace(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match=r"must be writable, but .* is not .*--storage") as caught:
        Storage(str(tmp_path / "file" / "rounds")).check_writable()
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


@pytest.mark.parametrize("inside", ["", "/a", "/a/b"])
def test_of_a_file_in_the_way_the_advice_is_a_folder(tmp_path, inside):
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailure, match=r"cannot be written .*; a file is in the way, so name a folder\.$"):
        Storage(f"{tmp_path}/file{inside}").write("x/y", b"content")


def test_read_only_filesystem_is_one_sentence():
    with pytest.raises(StorageError, match=r"must be writable, but '/proc/rounds' is not"):
        Storage("/proc/rounds").check_writable()


def test_read_delete_and_list(tmp_path):
    storage = Storage(str(tmp_path))
    assert storage.read("x/file") is None
    storage.delete("x/file")
    assert storage.files("x") == []
    storage.write("x/b", b"1")
    storage.write("x/a", b"2")
    storage.write("x/a", b"3")
    storage.write("x/folder/c", b"4")
    assert storage.files("x") == ["a", "b"]
    assert storage.read("x/a") == b"3"
    assert storage.folders() == ["x"]
    storage.delete("x/a")
    assert storage.files("x") == ["b"]


def test_a_reader_sees_whole_files_alone(tmp_path):
    storage = Storage(str(tmp_path))
    size = 1_000_000
    storage.write("file", b"a" * size)
    done = threading.Event()
    seen: list[set[bytes]] = []

    def read() -> None:
        while not done.is_set():
            content = storage.read("file") or b""
            seen.append({content[:1], content[-1:], b"%d" % len(content)})

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(100):
        storage.write("file", b"ab"[i % 2 : i % 2 + 1] * size)
    done.set()
    reader.join()
    assert seen
    assert all(kinds in ({b"a", b"1000000"}, {b"b", b"1000000"}) for kinds in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_keeps_the_old_content(tmp_path):
    storage = Storage(str(tmp_path))
    storage.write("file", b"old")
    with pytest.raises(TypeError):
        storage.write("file", "text cannot be written")
    assert storage.read("file") == b"old"


def test_a_storage_of_which_nothing_is_there_is_refused_of_any_kind(s3, tmp_path):
    bucket = s3()
    for missing in (bucket, Storage(str(tmp_path / "rounds")), Storage(f"file://{tmp_path}/rounds")):
        with pytest.raises(StorageError, match=f"there is no '{re.escape(missing.uri)}'; correct it"):
            missing.require_there()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="there is no"):
        Storage(str(tmp_path / "file")).require_there()
    bucket.write("round/round.json", b"{}")
    bucket.require_there()
    Storage(f"file://{tmp_path}").require_there()


def test_rounds_of_a_storage(created):
    (Path(created.storage.root) / "no round").mkdir()
    assert round_names(created.storage) == ["round"]
    assert round_names(Storage(created.storage.uri + "/nowhere")) == []
    assert not RoundStore(created.storage, "no round").exists()


def test_a_write_that_fails_is_one_sentence_and_leaves_the_old_file_and_no_other(disk):
    storage = Storage(str(disk))
    storage.write("r/status.json", b"old")
    ballast = fill(disk)
    with pytest.raises(StorageFailure, match=rf"{disk}/r/status.json cannot be written \(No space left on device\)"):
        storage.write("r/status.json", bytes(10_000))
    assert storage.read("r/status.json") == b"old"
    with pytest.raises(InputError, match="must be writable"):
        storage.check_writable()
    assert hidden(disk) == []
    ballast.unlink()
    storage.write("r/status.json", bytes(10_000))
    assert remount(disk, "ro")
    with pytest.raises(StorageFailure, match=r"deleted \(Read-only file system"):
        storage.delete("r/status.json")
    with pytest.raises(RunError, match=r"written \(Read-only file system"):
        storage.write("r/notes.md", b"")
