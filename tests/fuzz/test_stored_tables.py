"""Parquet files and Arrow streams of records that were cut off or damaged: commands that read say so, or read on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from raytune_playbook.records.store import RoundStore
from tests.fuzz.inputs import damaged_bytes
from tests.fuzz.recorded import READING, kept, ran, write_whole

FAST = ("rounds", "judged otherwise")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RoundStore:
    return write_whole(tmp_path_factory.mktemp("tables"))


@given(data=st.data())
def test_commands_that_read_bear_damaged_tables(store: RoundStore, data: st.DataObject) -> None:
    root = Path(store.storage.root)
    paths = sorted(str(path.relative_to(root)) for kind in ("*.parquet", "*.arrows") for path in root.rglob(kind))
    path = data.draw(st.sampled_from(paths), label="path")
    content = data.draw(damaged_bytes((root / path).read_bytes()), label="content")
    command = data.draw(st.sampled_from(["report", "advise", "judged otherwise", *["rounds"] * 12]), label="command")
    with kept(store, path, content):
        event(f"exit code {ran([*READING[command], '--storage', str(root)])}")
