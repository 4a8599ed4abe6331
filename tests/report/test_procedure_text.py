"""What a procedure came to, on the terminal, on the page of its round, and on those of its parts."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from raytune_playbook.records.procedures import (
    NextCommand,
    ProcedureRecord,
    ShownLine,
    ShownPlot,
    ShownSeries,
    ShownTable,
    write_procedure,
)
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Part
from raytune_playbook.report.figures.procedure import procedure_figure
from raytune_playbook.report.page.page import read_insight, write_page
from raytune_playbook.report.procedure_text import print_procedure
from tests.report.conftest import write_round
from tests.report.figures.checked import checked

COMMAND = "raytune-playbook batch-size " + "a_folder/" * 20 + "job.py"

PLOT = ShownPlot(
    title="Throughput",
    label="It grows until 128.",
    x_name="batch size",
    y_name="examples/s",
    x_scale="log",
    series=(
        ShownSeries(name="measured <b>", x=(64, 128), y=(100.0, None), low=(90.0, None), high=(115.0, None)),
        ShownSeries(name="perfect", x=(64, 128), y=(100.0, 200.0), is_reference=True),
        ShownSeries(name="range", x=(64, 128), y=(100.0, 150.0), low=(90, 140), high=(110, 160), style="line"),
        ShownSeries(name="count", x=(64, 128), y=(1.0, 2.0), style="bars"),
    ),
    lines=(ShownLine(text="best", x=100), ShownLine(text="enough", y=120.0)),
)


def record_of(store: RoundStore, **changes: object) -> ProcedureRecord:
    record = ProcedureRecord(
        procedure="batch-size",
        round=store.name,
        workload="Digits",
        verdict="Take <128>.",
        is_good=True,
        sentences=("256 does not fit.",),
        tables=(
            ShownTable(
                title="Sizes",
                columns=("size", "fits", "examples/s"),
                rows=((64, True, 1234.5678), (128, False, None)),
                leading=(0,),
            ),
        ),
        plots=(PLOT,),
        next=(NextCommand(sentence="Choose the steps.", command=COMMAND), NextCommand(sentence="Think.")),
        command=COMMAND,
        ended_at="2026-01-02T03:04:05+00:00",
    )
    return record.model_copy(update=changes)


def test_the_terminal_shows_tables_verdict_and_a_command_on_one_line(mixed_round):
    console = Console(file=io.StringIO(), width=60)
    print_procedure(console, record_of(mixed_round))
    text = console.file.getvalue()
    lines = [line.strip() for line in text.splitlines()]
    assert COMMAND in lines
    assert ["64", "yes", "1235"] in [line.split() for line in lines]
    assert ["128", "no", "—"] in [line.split() for line in lines]
    assert lines.index("Take <128>.") < lines.index("256 does not fit.") < lines.index(COMMAND) < lines.index("Think.")


def test_the_figure_is_one_that_plotly_knows(mixed_round):
    figure = checked(procedure_figure(PLOT))
    measured, perfect, *band, line, bars = figure.data
    assert (measured.error_y.array[0], measured.error_y.arrayminus[0]) == (15.0, 10.0)
    assert measured.y[1] is None
    assert "<b>" not in measured.name
    assert perfect.line.dash == "dash"
    assert [list(edge.y) for edge in band] == [[110, 160], [90, 140]]
    assert (line.mode, bars.type) == ("lines", "bar")
    upright, level = figure.layout.shapes
    assert (upright.x0, upright.x1, level.y0, level.y1) == (100, 100, 120, 120)
    assert [word.x for word in figure.layout.annotations] == [2.0, 1]  # words on a logarithmic axis stand by logarithm


def test_ba9_a_page_says_what_was_found_and_that_it_is_stale(tmp_path):
    store = write_round(tmp_path)
    facts = read_insight(store).reading.facts
    write_procedure(store, record_of(store, bound_to=facts))
    html = Path(write_page(store)).read_text()
    assert "Take &lt;128&gt;." in html
    assert "may not hold any more" not in html
    write_procedure(store, record_of(store, bound_to=facts | {"model": "Digits(width=8)"}))
    html = Path(write_page(store)).read_text()
    assert f"another model (Digits(width=8); now {facts['model']})" in html


def test_a_procedure_stands_on_the_pages_of_its_parts_whose_own_facts_make_nothing_stale(tmp_path):
    job = RoundStore(write_round(tmp_path, name="other").storage, "never_run")
    part = write_round(tmp_path, name="never_run-batch-size-64")
    record = part.round().model_copy(
        update={"part_of": Part(procedure="batch-size", round="never_run", command=COMMAND)}
    )
    part.storage.write(f"{part.name}/round.json", record.model_dump_json().encode())
    written = record_of(job, rounds=(part.name,), bound_to={"number of steps": "3"})
    write_procedure(job, written)
    write_procedure(job, written.model_copy(update={"procedure": "train-steps", "rounds": ()}))
    procedures = read_insight(part).reading.procedures
    assert [each.procedure for each in procedures] == ["batch-size"]
    html = Path(write_page(part)).read_text()
    assert "Take &lt;128&gt;." in html
    assert "may not hold any more" not in html
    assert html.index('id="procedures"') < html.index('id="answer"')  # what it is for comes first
    assert 'id="next"' not in html and 'href="#next"' not in html
    assert 'id="next"' in Path(write_page(RoundStore(part.storage, "other"))).read_text()
