"""Records and checkpoints on a disk of whose calls a share fails: all of them are there in the end, whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raytune_playbook.records.driving.claims import current_claim, driving
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore

SOURCE = Path(__file__).parents[1] / "faults" / "faulty_disk.cc"

WRITER = """
import sys
from raytune_playbook.errors import StorageError
from raytune_playbook.records.driving.claims import claimed, driving
from raytune_playbook.records.measurements import RunningMeasurements
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore

store = RoundStore(Storage(sys.argv[1]), "round")
store.storage.check_writable()
with claimed(driving(store), say=print) as claim:
    for number in range(20):
        store.storage.write(f"round/all/checkpoints/{number:05d}/4/model.pt", bytes([number]) * 300_000)
        running = RunningMeasurements(store, "all", f"{number:05d}", 1)
        for step in range(8):
            running.append([{"step": step, "split": "validation", "loss": number + step / 8}])
            if step == 4:
                running.append([{"step": step, "split": "validation", "late": 1.0}])
        claim.require()
        if number % 2:
            running.seal()
        else:
            running.close()
    try:
        with claimed(driving(store), say=print):
            print("two drivers")
    except StorageError as error:
        print("one driver" if "one driver at a time" in str(error) else error)
    store.storage.delete_folder("round/all/checkpoints/00007")
    store.write_notes("done")
"""


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes calls fail."""
    if shutil.which("g++") is None:
        pytest.skip("a disk that fails now and then needs g++")
    library = tmp_path_factory.mktemp("faulty") / "faulty_disk.so"
    subprocess.run(["g++", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def written(folder: Path, faulty: Path, *, seed: int, share: float) -> str:
    """What a process says that writes records into a folder whose calls fail."""
    faults = {"LD_PRELOAD": str(faulty), "FAULTY_FOLDER": str(folder), "FAULTY_SEED": str(seed)}
    environment = os.environ | faults | {"FAULTY_SHARE": str(share)}
    command = [sys.executable, "-c", WRITER, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 50))])
def test_a_share_of_calls_that_fail_costs_no_record_and_spoils_none(faulty, tmp_path, seed):
    folder = tmp_path / "rounds"
    assert written(folder, faulty, seed=seed, share=0.05) == "one driver\n"
    store = RoundStore(Storage(str(folder)), "round")
    assert current_claim(driving(store)) is None
    assert store.notes() == "done"
    for number in range(20):
        model = store.storage.read(f"round/all/checkpoints/{number:05d}/4/model.pt")
        assert model == (None if number == 7 else bytes([number]) * 300_000)
        table = store.measurements("all", f"{number:05d}")
        assert table is not None
        losses = [row["loss"] for row in table.to_pylist() if row["loss"] is not None]
        assert losses == [number + step / 8 for step in range(8)]
        assert table["late"].null_count == 8
    sealed = sorted((folder / "round" / "all" / "measurements").glob("[0-9]*.parquet"))
    assert [path.stem for path in sealed] == [f"{number:05d}" for number in range(1, 20, 2)]
    assert all(pq.read_table(path).num_rows == 9 for path in sealed)


def test_a_disk_that_always_fails_is_one_clear_sentence_and_leaves_no_half_file(faulty, tmp_path):
    folder = tmp_path / "rounds"
    (folder / "round" / "all").mkdir(parents=True)
    said = written(folder, faulty, seed=0, share=1.0)
    assert "Storage: it must be writable, but" in said and "Input/output error" in said
    assert [path.name for path in folder.rglob("*")] == ["round", "all"]
