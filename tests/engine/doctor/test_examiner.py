"""What an examiner leaves in a storage: nothing."""

from __future__ import annotations

import pyarrow.fs as pafs
import pytest

from raytune_playbook.engine.doctor.examiner import Examiner
from tests.records.conftest import s3, s3_endpoint  # noqa: F401, fixtures

PATHS = [".doctor-1/one", ".doctor-1/two"]


def write_and_read(uri: str) -> None:
    """Two nodes write, read what both wrote, and clean up."""
    one, two = nodes = [Examiner(), Examiner()]
    for node, path in zip(nodes, PATHS, strict=True):
        assert node.write(uri, path, path.encode()) is None
    for node in nodes:
        assert node.read(uri, PATHS) == [path.encode() for path in PATHS]
    two.clean(uri, ".doctor-1")
    assert one.read(uri, PATHS) == [None, None]
    one.clean(uri, ".doctor-1")


def test_a_folder_that_was_not_there_is_there_no_more(tmp_path):
    write_and_read(str(tmp_path / "not" / "there"))
    assert list(tmp_path.iterdir()) == []


def test_what_others_have_in_a_folder_stays(tmp_path):
    (tmp_path / "rounds").mkdir()
    (tmp_path / "rounds" / "file").touch()
    write_and_read(str(tmp_path / "rounds"))
    assert [path.name for path in tmp_path.rglob("*")] == ["rounds", "file"]


def test_an_object_store_holds_nothing_of_it_not_even_an_empty_folder(s3):  # noqa: F811
    storage = s3()
    write_and_read(storage.uri)
    found = storage.fs.get_file_info(pafs.FileSelector(storage.root, recursive=True))
    assert [each.path for each in found] == []


@pytest.mark.parametrize("uri", ["s3://no-such-bucket-of-this-name/rounds?region=us-east-1", "nonsense://x"])
def test_a_storage_that_cannot_be_written_is_told_in_a_sentence(s3, uri):  # noqa: F811
    examiner = Examiner()
    refusal = examiner.write(uri, PATHS[0], b"content")
    assert refusal is not None and refusal.startswith("Storage: ")
    assert "\n" not in refusal
    assert examiner.read(uri, PATHS) == [None, None]
    examiner.clean(uri, ".doctor-1")
