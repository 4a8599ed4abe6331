"""What procedures came to: added, never rewritten, and read as it was written."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raytune_playbook.records.procedures import (
    NextCommand,
    ProcedureRecord,
    ShownLine,
    ShownPlot,
    ShownSeries,
    ShownTable,
    newest_procedure,
    readable_procedures,
    stale_facts,
    write_procedure,
)
from raytune_playbook.records.store import round_names

RECORD = ProcedureRecord(
    procedure="batch-size",
    round="round",
    workload="Digits",
    verdict="Take 128.",
    is_good=True,
    sentences=("It fits.",),
    numbers={"least_time": 128, "sizes": [64, 128], "critical": None},
    tables=(ShownTable(title="Sizes", columns=("size", "fits"), rows=((64, True), (128, None)), leading=(1,)),),
    plots=(
        ShownPlot(
            title="Throughput",
            label="It grows.",
            x_name="size",
            y_name="examples/s",
            x_scale="log",
            series=(ShownSeries(name="measured", x=(64, 128), y=(1.5, None), low=(1.0, None), high=(2.0, None)),),
            lines=(ShownLine(text="best", x=128),),
        ),
    ),
    bound_to={"model": "Digits(width=16)", "workers": "2 of 1 CPUs"},
    rounds=("round-batch-size-64",),
    next=(NextCommand(sentence="Choose the steps.", command="raytune-playbook train-steps job.py"),),
    command="raytune-playbook batch-size job.py",
    ended_at="2026-01-02T03:04:05+00:00",
)


def test_a_record_is_read_as_it_was_written_and_an_earlier_one_is_kept(store):
    first = write_procedure(store, RECORD)
    second = write_procedure(store, RECORD.model_copy(update={"verdict": "Take 64."}))
    assert (first.number, second.number) == (1, 2)
    assert newest_procedure(store, "batch-size") == second
    assert newest_procedure(store, "stability") is None
    files = sorted(Path(store.storage.root, "round/procedures/batch-size").iterdir())
    assert [file.name for file in files] == ["00001.json", "00002.json"]
    assert ProcedureRecord.model_validate_json(files[0].read_text()) == first


def test_records_that_are_written_at_once_are_all_kept(store):
    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(lambda _: write_procedure(store, RECORD), range(16)))
    assert sorted(each.number for each in written) == list(range(1, 17))


def test_a_torn_record_is_named_and_the_one_before_it_stands(store):
    write_procedure(store, RECORD)
    write_procedure(store, RECORD)
    Path(store.storage.root, "round/procedures/batch-size/00002.json").write_text('{"procedure": ')
    found = readable_procedures(store)
    assert [each.number for each in found.found] == [1]
    assert len(found.broken) == 1
    assert "round/procedures/batch-size/00002.json" in found.broken[0]


def test_a_round_has_the_newest_of_every_procedure_the_latest_last(store):
    for procedure, hour in (("stability", 2), ("variance", 3), ("launch", 1)):
        write_procedure(
            store, RECORD.model_copy(update={"procedure": procedure, "ended_at": f"2026-01-02T0{hour}:00:00+00:00"})
        )
    assert [each.procedure for each in readable_procedures(store).found] == ["launch", "stability", "variance"]
    assert round_names(store.storage) == []  # a round that has not begun is none


def test_ba9_a_record_is_stale_where_a_fact_that_it_is_bound_to_has_changed():
    assert stale_facts(RECORD, RECORD.bound_to | {"hardware": "cuda"}) == {}
    assert stale_facts(RECORD, {"model": "Digits(width=32)"}) == {"model": ("Digits(width=16)", "Digits(width=32)")}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_none(store, value):
    table = ShownTable(title="Errors", columns=("error",), rows=((value,), (0.5,)))
    series = ShownSeries(name="error", x=(1, 2), y=(value, 0.5))
    plot = ShownPlot(title="Error", label="It is.", x_name="step", y_name="error", series=(series,))
    write_procedure(
        store, RECORD.model_copy(update={"numbers": {"error": value}, "tables": (table,), "plots": (plot,)})
    )
    (found,) = readable_procedures(store).found
    assert found.numbers == {"error": None}
    assert found.tables[0].rows == ((None,), (0.5,))
    assert found.plots[0].series[0].y == (None, 0.5)
