"""A small storage with a file of every kind in it, and the commands that only read it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from raytune_playbook.cli import main
from raytune_playbook.cli.group import BAD_INPUT, FAILED
from raytune_playbook.records.driving.claims import ClaimRecord
from raytune_playbook.records.driving.driver_process import this_process
from raytune_playbook.records.procedures import ProcedureRecord, ShownPlot, ShownSeries, ShownTable, write_procedure
from raytune_playbook.records.registry import ClosedRecord, TestRecord, close_workload, write_launch, write_test
from raytune_playbook.records.scores import ScoreRecord, write_score
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables.compaction import Compaction
from tests.fuzz.inputs import content_of
from tests.records.test_registry import a_launch
from tests.report.conftest import ARMS, SPACE, write_round

NAME = "norms-1"

READING = {
    "rounds": ["rounds", "--all"],
    "advise": ["advise"],
    "launches": ["launch", "--list"],
    "notes": ["note", NAME],
    "propose": ["propose", NAME, "--dry-run"],
    "report": ["report", NAME],
    "judged otherwise": ["report", NAME, "--objective", "loss", "--over", "last"],
}
"""Commands that read rounds; of those that write a page, nothing else changes."""


def write_whole(folder: Path) -> RoundStore:
    """A round of two studies, one compacted and one with a trial that was cut off, and what may lie beside them."""
    outcomes = {(0, 1): "infeasible", (1, 1): "running"}
    store = write_round(
        folder,
        name=NAME,
        arms=ARMS[:2],
        space=SPACE,
        trials_per_arm=3,
        outcomes=lambda place, index: outcomes.get((place, index), "completed"),
    )
    first = store.studies()[0]
    Compaction(store.storage, NAME, [first]).compact(
        first.name, [f"{index:05d}" for index in range(3)], lambda: None, is_end=True
    )
    table = ShownTable(title="Sizes", columns=("size", "fits"), rows=((64, True), (128, None)), leading=(1,))
    series = ShownSeries(name="measured", x=(1.0, 2.0), y=(1.0, None), low=(0.5, None), high=(2.0, None))
    plot = ShownPlot(title="Throughput", label="It rises.", x_name="size", y_name="per second", series=(series,))
    workload = store.round().workload
    write_procedure(
        store,
        ProcedureRecord(
            procedure="batch-size",
            round=NAME,
            workload=workload.name,
            verdict="Take 128.",
            numbers={"least_time": 128},
            tables=(table,),
            plots=(plot,),
            bound_to={"model": "20"},
            command="raytune-playbook batch-size jobs/norms.py",
            ended_at="2026-01-02T03:04:05Z",
        ),
    )
    score = {"study": first.name, "trial": "00000", "step": 300, "split": "test", "metrics": {"error": 0.02}}
    write_score(store, ScoreRecord(**score, num_examples=100, source="made", scored_at="2026-01-03T00:00:00Z"))
    launch = write_launch(store.storage, a_launch(NAME, workload))
    tested = {"metric": "error", "value": 0.02, "standard_error": 0.001, "num_examples": 100, "reason": None}
    of_it = {"launch": launch.number, "round": NAME, "trial": f"{first.name}/00000"}
    write_test(store.storage, TestRecord(**of_it, **tested, tested_at="2026-01-04T00:00:00Z"))
    closed = ClosedRecord(workload=workload, round=NAME, why="It was folded.", closed_at="2026-01-05T00:00:00Z")
    close_workload(store.storage, closed)
    over = ClaimRecord(run="a", driver=this_process(), is_over=True)
    store.storage.write(f"{NAME}/claims/000001.json", over.model_dump_json().encode())
    return store


def ran(arguments: list[str]) -> int:
    """Run a command as a terminal would that is strict about what it shows; what it raises is a fault.

    Returns:
        Its exit code.
    """
    said, complained = io.BytesIO(), io.BytesIO()
    output = io.TextIOWrapper(said, encoding="utf-8")
    errors = io.TextIOWrapper(complained, encoding="utf-8", errors="backslashreplace")  # as Python's own is
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = main(arguments)
        output.flush()
        errors.flush()
    if code:
        assert code in (FAILED, BAD_INPUT), code
        assert complained.getvalue().strip(), arguments
    assert b"Traceback (most recent call last)" not in complained.getvalue()
    return code


@contextlib.contextmanager
def kept(store: RoundStore, path: str | None = None, content: bytes = b"") -> Iterator[Mapping[str, bytes | None]]:
    """Within it a file of the storage has other content; at the end nothing else of the storage may have changed.

    Pages are made anew, and are no part of what is kept.
    """
    root = Path(store.storage.root)
    original = None if path is None else (root / path).read_bytes()
    if path is not None:
        (root / path).write_bytes(content)
    before = _without_pages(root)
    try:
        yield before
        assert _without_pages(root) == before
    finally:
        if path is not None and original is not None:
            (root / path).write_bytes(original)


def _without_pages(root: Path) -> dict[str, bytes | None]:
    return {path: content for path, content in content_of(root).items() if f"{NAME}/report" not in path}
