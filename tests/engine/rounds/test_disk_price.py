"""What checkpoints of real rounds take, against what was said before, and a round that keeps to its limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raytune_playbook import InputError, Round, load_model, run
from raytune_playbook.engine.rounds.run import check
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.checks.disk_price import CheckpointSize
from raytune_playbook.study.settings import GIB
from tests.faults.disks import fill

NUM_GANGS = 2


def limited(round_: Round, num_bytes: int, **update: object) -> Round:
    budget = round_.budget.model_copy(update={"max_checkpoint_gib": num_bytes / GIB})
    return round_.model_copy(update={"budget": budget, **update})


def files(folder: Path) -> dict[str, int]:
    """Bytes of a trial's checkpoint files."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*.pt")}


def test_ck1_a_round_says_what_its_checkpoints_take_and_keeps_those_of_the_best_within_its_limit(
    gangs, make_round, tmp_path, quiet
):
    free = make_round("free", arms=3, trials_per_study=2)
    rows = run(free, storage=str(tmp_path), gangs=gangs, console=quiet).trials.to_pylist()
    found = [files(tmp_path / "free" / row["study"] / "checkpoints" / f"{row['index']:05d}") for row in rows]
    size = CheckpointSize(
        max(each for trial in found for name, each in trial.items() if name.endswith("model.pt")),
        max(each for trial in found for name, each in trial.items() if name.endswith("training.pt")),
    )
    kept_bytes = rows[0]["checkpoint_bytes"]
    assert kept_bytes == pytest.approx(size.kept_bytes(free.budget), abs=256)
    assert max(sum(trial.values()) for trial in found) == pytest.approx(kept_bytes, abs=256)
    (said,) = [line for line in quiet.file.getvalue().splitlines() if "Checkpoints:" in line]
    words = said.split()  # Checkpoints: 6 x 12.8 KiB = 76.8 KiB at most
    assert (words[0], words[-5], words[-3:]) == ("Checkpoints:", "=", ["KiB", "at", "most"])
    assert float(words[-4]) * 1024 == pytest.approx(6 * kept_bytes, rel=0.1)

    with pytest.raises(InputError, match=r"max_checkpoint_gib: there must be room .* allow at least .*, or run fewer"):
        run(limited(free, 4 * kept_bytes, name="refused"), storage=str(tmp_path), gangs=gangs, console=quiet)
    assert not (tmp_path / "refused").exists()

    # The best of each of three studies, one more, and half a fifth, beside two trials that run.
    limit = limited(free, NUM_GANGS * size.peak_bytes(free.budget) + 9 * kept_bytes // 2, name="bounded")
    bounded = run(limit, storage=str(tmp_path), gangs=gangs, console=quiet)
    assert "for the trials that run: each study's best trial's, then those of the best of the others" in (
        quiet.file.getvalue()
    )
    by_rank = sorted(bounded.trials.to_pylist(), key=lambda row: (row["objective"], row["index"]))
    firsts = {row["study"]: row for row in reversed(by_rank)}.values()
    others = [row for row in by_rank if row not in firsts]
    expected = {(row["study"], row["index"]) for row in [*firsts, others[0]]}
    assert {(row["study"], row["index"]) for row in by_rank if not row["checkpoints_deleted"]} == expected
    there = {(path.parts[-3], int(path.name)) for path in (tmp_path / "bounded").glob("*/checkpoints/*")}
    assert there == expected
    for study, index in expected:
        load_model("bounded", f"{study}/{index}", storage=str(tmp_path), workload=limit.workload)
    gone = others[1]
    with pytest.raises(InputError, match="were deleted, for better trials' to have room"):
        load_model("bounded", f"{gone['study']}/{gone['index']}", storage=str(tmp_path), workload=limit.workload)
    same = [[row[name] for name in ("study", "index", "objective", "best_step")] for row in rows]
    again = [[row[name] for name in ("study", "index", "objective", "best_step")] for row in bounded.trials.to_pylist()]
    assert again == same


def test_a_disk_without_room_for_the_checkpoints_is_said_before_the_start(gangs, make_round, disk, quiet):
    round_ = make_round("large", trials_per_study=100)
    check(round_, storage=str(disk), gangs=gangs, console=quiet)
    assert f"{disk} has" not in quiet.file.getvalue()
    ballast = fill(disk)
    os.truncate(ballast, ballast.stat().st_size - 2**18)
    check(round_, storage=str(disk), gangs=gangs, console=quiet)
    said = quiet.file.getvalue()
    assert f"Warning: {disk} has 256 KiB left, and the checkpoints take up to " in said
    assert not RoundStore(Storage(str(disk)), "large").exists()
