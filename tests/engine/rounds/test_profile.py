"""A round's profiler traces, and the times that its records hold, on real gangs (rules PI1 and PI4)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from raytune_playbook import InputError, run
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.types import PIPELINE_STAGES
from raytune_playbook.report.page.page import PATH


def test_pi4_a_profiled_round_has_traces_of_trial_0_of_each_study_and_the_same_numbers(gangs, make_round, tmp_path):
    results, printed = {}, {}
    for name, profile in (("plain", None), ("profiled", "2-3")):
        console = Console(width=400, highlight=False)
        with console.capture() as captured:
            round_ = make_round(name, arms=2, trials_per_study=2)
            results[name] = run(round_, storage=str(tmp_path), gangs=gangs, profile=profile, console=console)
        printed[name] = captured.get()
    traces = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*/profiles/*"))
    studies = ("batch_norm=device", "batch_norm=sync")
    assert traces == [f"profiled/{study}/profiles/00000.steps-2-3.rank0.json.gz" for study in studies]
    page = (tmp_path / "profiled" / PATH).read_text()
    for study, trace in zip(studies, traces, strict=True):
        assert f"Trace for Perfetto (ui.perfetto.dev): {tmp_path}/{trace}" in printed["profiled"]
        assert trace.removeprefix("profiled/") in page
        events = json.loads(gzip.decompress((tmp_path / trace).read_bytes()))["traceEvents"]
        names = [event["name"] for event in events if event.get("cat") == "user_annotation"]
        assert [name for name in names if name.startswith("step ")] == ["step 2", "step 3"]
        # The gradients of each step, and where statistics are synchronized one collective more in either direction.
        assert names.count("synchronization") >= (6 if study == "batch_norm=sync" else 2)
        for key in ("00000", "00001"):
            one, other = (results[name].store.measurements(study, key) for name in ("plain", "profiled"))
            assert one.drop_columns(list(TIME_COLUMNS)).equals(other.drop_columns(list(TIME_COLUMNS)))
    assert "Perfetto" not in printed["plain"]

    console = Console(width=400, highlight=False)
    with console.capture() as captured:  # all trials have ended
        round_ = make_round("plain", arms=2, trials_per_study=2)
        run(round_, storage=str(tmp_path), gangs=gangs, profile="2-3", console=console)
    assert "No trace of batch_norm=sync: its trial 0 did not train steps 2 to 3 in this run" in captured.get()


def test_pi1_records_say_where_the_time_of_steps_went(gangs, make_round, tmp_path, quiet):
    sleep_s = 0.05
    round_ = make_round("times", trials_per_study=1, step_sleep_s=sleep_s)
    run(round_, storage=str(tmp_path), gangs=gangs, console=quiet)
    (row,) = pq.read_table(tmp_path / "times/all/trials").to_pylist()
    steps_s = sum(row[name] for name in TIME_COLUMNS)
    assert 0 < steps_s + row["evaluations_s"] <= row["train_s"]
    assert row["compute_s"] >= 4 * sleep_s * 0.99
    assert row["sync_s"] > 0
    assert set(dict(row["stages"])) == set(PIPELINE_STAGES)
    assert len(row["machine"]["cores"]) == 2
    assert all(num_cores >= 1 for num_cores in row["machine"]["cores"])
    steps = pq.read_table(tmp_path / "times/all/measurements/00000.parquet")
    assert all(steps[name].null_count == steps.num_rows - 4 for name in TIME_COLUMNS)


def test_pi4_steps_that_are_not_trained_are_refused_before_anything_is_written(make_round, tmp_path):
    with pytest.raises(InputError, match="--profile"):
        run(make_round("refused"), storage=str(tmp_path / "storage"), profile="4-5")
    assert list(Path(tmp_path).iterdir()) == []
