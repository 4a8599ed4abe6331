"""Records in JSON that are not what they should be: every command that reads says so, or reads on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from raytune_playbook.records.store import RoundStore
from tests.fuzz.inputs import mutated_json
from tests.fuzz.recorded import READING, kept, ran, write_whole

FAST = ("rounds", "rounds", "rounds", "launches", "notes")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RoundStore:
    return write_whole(tmp_path_factory.mktemp("json"))


@given(data=st.data())
def test_commands_that_read_bear_any_json(store: RoundStore, data: st.DataObject) -> None:
    root = Path(store.storage.root)
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*.json"))
    path = data.draw(st.sampled_from(paths), label="path")
    content = data.draw(mutated_json(json.loads((root / path).read_bytes())), label="content")
    command = data.draw(st.sampled_from([*READING, *FAST, *FAST, *FAST]), label="command")
    with kept(store, path, content):
        event(f"exit code {ran([*READING[command], '--storage', str(root)])}")
