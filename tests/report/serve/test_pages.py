"""Rows and pages of a storage's rounds: made again only where the records changed, and once at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from moto.server import ThreadedMotoServer

from raytune_playbook.errors import StorageError
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.serve import pages as module
from raytune_playbook.report.serve.files import read_linked
from raytune_playbook.report.serve.listing import age_text
from raytune_playbook.report.serve.pages import MAX_PAGES, Pages
from tests.ports import free_port
from tests.report.conftest import STABILITY, write_round


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """The rounds whose pages were made, in order."""
    names: list[str] = []
    real = module.read_insight_at

    def counted(store: RoundStore, path: str):
        names.append(store.name)
        return real(store, path)

    monkeypatch.setattr(module, "read_insight_at", counted)
    return names


def test_a_page_is_made_once_for_all_who_ask_and_again_when_the_records_changed(tmp_path, made, monkeypatch):
    counted = module.read_insight_at

    def slow(store: RoundStore, path: str):
        time.sleep(0.2)  # long enough for others to ask for it, too
        return counted(store, path)

    monkeypatch.setattr(module, "read_insight_at", slow)
    store = write_round(tmp_path, trials_per_arm=1, arms=[{}])
    pages = Pages(store.storage)
    start = threading.Barrier(4)

    def ask(_: int) -> str:
        start.wait()
        return pages.page("norms-1").html

    with ThreadPoolExecutor(4) as askers:
        assert len(set(askers.map(ask, range(4)))) == 1
    assert made == ["norms-1"]
    version = pages.version("norms-1")
    store.write_notes("Changed.\n")
    assert pages.version("norms-1") != version
    assert "Changed." in pages.page("norms-1").html
    assert made == ["norms-1", "norms-1"]


def test_pages_of_two_rounds_are_made_at_once(tmp_path, monkeypatch):
    real, both = module.read_insight_at, threading.Barrier(2)

    def together(store: RoundStore, path: str):
        both.wait(timeout=120)
        return real(store, path)

    monkeypatch.setattr(module, "read_insight_at", together)
    for name in ("a", "b"):
        write_round(tmp_path, name=name, trials_per_arm=1, arms=[{}], measured=False)
    with ThreadPoolExecutor(2) as askers:
        assert len(list(askers.map(Pages(Storage(str(tmp_path))).page, ("a", "b")))) == 2


def test_a_page_whose_records_change_while_it_is_made_is_made_again(tmp_path, monkeypatch):
    store = write_round(tmp_path, trials_per_arm=1, arms=[{}], measured=False)
    real, written = module.read_insight_at, []

    def changing(store: RoundStore, path: str):
        insight = real(store, path)
        if not written:
            written.append(True)
            store.write_notes("Changed meanwhile.\n")
        return insight

    monkeypatch.setattr(module, "read_insight_at", changing)
    pages = Pages(store.storage)
    assert pages.page("norms-1").version != pages.version("norms-1")
    assert "Changed meanwhile." in pages.page("norms-1").html


def test_a_page_whose_round_ends_while_it_is_made_looks_for_the_end(tmp_path, monkeypatch):
    store = write_round(tmp_path, trials_per_arm=1, arms=[{}], measured=False, state="running")
    real = module.read_insight_at

    def ending(store: RoundStore, path: str):
        insight = real(store, path)
        write_round(tmp_path, trials_per_arm=1, arms=[{}], measured=False, state="finished")
        return insight

    monkeypatch.setattr(module, "read_insight_at", ending)
    pages = Pages(store.storage)
    assert pages.page("norms-1").is_live
    assert not pages.page("norms-1").is_live


def test_a_list_whose_rounds_change_while_it_is_made_is_of_an_older_version(tmp_path, monkeypatch):
    store = write_round(tmp_path, trials_per_arm=1, arms=[{}], measured=False, state="running")
    real = module.round_row

    def ending(store: RoundStore):
        row = real(store)
        write_round(tmp_path, trials_per_arm=1, arms=[{}], measured=False, state="finished")
        return row

    monkeypatch.setattr(module, "round_row", ending)
    pages = Pages(store.storage)
    version, (row,) = pages.listed()
    assert not row.is_final
    assert version != pages.list_version()


def test_whatever_a_page_is_made_from_or_links_to_changes_its_version(tmp_path):
    store = write_round(tmp_path, trials_per_arm=1, arms=[{}], measured=False)
    pages = Pages(store.storage)
    files = ("all/logs/a.log", "all/profiles/a.json.gz", "all/trials/a", "all/measurements/a", "scores/a", "notes.md")
    versions = [pages.version("norms-1")]
    for file in files:
        for content in (b"12345", b"54321"):  # as long, and written later
            store.storage.write(f"norms-1/{file}", content)
            versions.append(pages.version("norms-1"))
    assert len(set(versions)) == 1 + 2 * len(files)
    store.storage.write("norms-1/all/checkpoints/a", b"1")
    assert pages.version("norms-1") == versions[-1]


def test_only_some_pages_are_kept(tmp_path, made):
    for number in range(MAX_PAGES + 1):
        write_round(tmp_path, name=f"round-{number}", trials_per_arm=1, arms=[{}], measured=False)
    pages = Pages(Storage(str(tmp_path)))
    for number in (*range(MAX_PAGES + 1), MAX_PAGES, 0):
        pages.page(f"round-{number}")
    assert made == [f"round-{number}" for number in (*range(MAX_PAGES + 1), 0)]


def test_rounds_are_listed_the_newest_first_and_broken_ones_last(tmp_path):
    for name, created_at in (("old", "2025-01-01T00:00:00+00:00"), ("new", "2026-01-01T00:00:00+00:00")):
        store = write_round(tmp_path, name=name, trials_per_arm=1, arms=[{}], measured=False)
        record = store.round().model_copy(update={"created_at": created_at})
        store.storage.write(f"{name}/round.json", record.model_dump_json().encode())
    store.storage.write("a broken one/round.json", b"{")
    pages = Pages(store.storage)
    assert [row.name for row in pages.rows()] == ["new", "old", "a broken one"]
    assert "must hold a RoundRecord" in pages.rows()[-1].broken
    with pytest.raises(StorageError):
        pages.page("nowhere")


def test_rounds_of_procedures_say_in_the_list_of_which_they_are_part(tmp_path):
    write_round(tmp_path, trials_per_arm=1, measured=False)
    write_round(tmp_path, name="norms-1-stability-sweep", trials_per_arm=1, measured=False, part_of=STABILITY)
    rows = {row.name: row.part_of for row in Pages(Storage(str(tmp_path))).rows()}
    assert rows == {"norms-1": None, "norms-1-stability-sweep": "stability of norms-1"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "—"), (3, "now"), (61, "1 min"), (7300, "2 h"), (1e6, "11 d"), (-5, "now")]
)
def test_ages_are_told_in_their_largest_unit(seconds, text):
    assert age_text(seconds) == text


def test_an_object_store_is_served_as_a_folder_is(tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    local = write_round(tmp_path, trials_per_arm=1, arms=[{}])
    server = ThreadedMotoServer(port=free_port(), verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        query = f"scheme=http&endpoint_override={host}:{port}&allow_bucket_creation=true&region=us-east-1"
        bucket = Storage(f"s3://served?{query}")
        bucket.fs.create_dir("served")
        for file in (path for path in tmp_path.rglob("*") if path.is_file()):
            bucket.write(str(file.relative_to(tmp_path)), file.read_bytes())
        bucket.write("norms-1/all/logs/00000.1.0.log", b"printed")
        pages = Pages(bucket)
        assert pages.rows() == Pages(local.storage).rows()
        version = pages.version("norms-1")
        assert pages.page("norms-1").version == version
        assert read_linked(bucket, "norms-1", "all/logs/00000.1.0.log") == b"printed"
        assert read_linked(bucket, "norms-1", "all/logs/../../round.json") is None
        RoundStore(bucket, "norms-1").write_notes("Changed.\n")
        assert pages.version("norms-1") != version
    finally:
        server.stop()
