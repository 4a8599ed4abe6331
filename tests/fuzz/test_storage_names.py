"""Names of storages, rounds, studies and trials: a sentence, or something in the storage; nothing outside of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from raytune_playbook.records.places import is_inside, is_name
from raytune_playbook.records.storage import Storage, file_at
from raytune_playbook.records.store import RoundStore, round_names
from tests.fuzz.inputs import ODD_TEXTS, content_of, only_sentences

ON_A_NETWORK = ("s3:", "gs:", "gcs:", "hdfs:", "viewfs:", "abfs:", "abfss:", "http:", "https:")
"""To whose servers pyarrow would speak."""

PARTS = st.one_of(ODD_TEXTS, st.sampled_from(["..", ".", "", "rounds", "link", "out", "a", "norms-1", "%2e%2e", "\\"]))
PATHS = st.one_of(ODD_TEXTS, st.lists(PARTS, max_size=5).map("/".join))
SCHEMES = st.sampled_from(["file://", "file:///", "file:", "mock://", "mem://", "://", "c:\\", "FILE:///", "data:", ""])
URIS = st.one_of(PATHS, st.tuples(SCHEMES, PATHS).map("".join), st.tuples(ODD_TEXTS, SCHEMES, PATHS).map("".join))


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a round that is none, and links out of it."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "rounds" / "a").mkdir(parents=True)
    (folder / "rounds" / "a" / "round.json").write_text("{}")
    (folder / "out").mkdir()
    (folder / "out" / "round.json").write_text("outside")
    (folder / "rounds" / "a" / "link").symlink_to(folder / "out")
    return folder


@given(uri=URIS, name=ODD_TEXTS)
def test_a_storage_of_any_name_is_refused_in_a_sentence_or_read(there: Path, uri: str, name: str) -> None:
    assume(not uri.lower().startswith(ON_A_NETWORK))
    before, folder = content_of(there), Path.cwd()
    os.chdir(there)
    try:
        with only_sentences():
            storage = Storage(uri)
            storage.missing_folders()
            if storage.local_path is not None and there in storage.local_path.parents:
                round_names(storage)
            RoundStore(storage, name).exists()
            storage.require_there()
        with only_sentences():
            file_at(uri)
    finally:
        os.chdir(folder)
    assert content_of(there) == before


@given(path=PATHS)
def test_a_path_leads_into_the_storage_or_is_refused(there: Path, path: str) -> None:
    root = there / "rounds"
    storage = Storage(str(root))
    before = content_of(there)
    with only_sentences():
        place = storage.place(path)
        assert is_inside(path) and os.path.realpath(place).startswith(str(root))
        assert storage.read(path) != b"outside"
        storage.files(path)
    assert content_of(there) == before


@given(name=ODD_TEXTS, trial=st.one_of(PATHS, st.integers().map(str)))
def test_a_round_and_a_trial_of_any_name_are_refused_or_there(there: Path, name: str, trial: str) -> None:
    before = content_of(there)
    with only_sentences():
        store = RoundStore(Storage(str(there / "rounds")), name)
        assert is_name(name)
        store.exists()
        store.status()
        store.trial_id(trial)
    assert content_of(there) == before
