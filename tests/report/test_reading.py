"""A round is read in one pass, from a few files, and as far as it can be read."""

from __future__ import annotations

import html
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytune_playbook.analysis.series.curves import curves_of
from raytune_playbook.errors import SpecError, StorageError
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables.compaction import Compaction
from raytune_playbook.report.insight import insight_of
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.reading import MAX_STEP_POINTS, read_all, read_curves, read_measurements, read_round
from raytune_playbook.report.terminal import new_console, rounds_table, summary
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import trial_key
from tests.report.conftest import STABILITY


class CountingStorage(Storage):
    """Counts how often each file is opened."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.opened_files: Counter[str] = Counter()
        plain = self.fs

        class Counting:
            def __getattr__(self, name: str):
                return getattr(plain, name)

            def open_input_stream(_, path: str):  # noqa: N805 - the storage is meant
                self.opened_files[path] += 1
                return plain.open_input_stream(path)

            def open_input_file(_, path: str):  # noqa: N805
                self.opened_files[path] += 1
                return plain.open_input_file(path)

        self.fs = Counting()


def compacted(store: RoundStore) -> RoundStore:
    """The same round as its driver leaves it."""
    studies = store.studies()
    of_round = Compaction(store.storage, store.name, studies)
    for study in studies:
        ended = {trial_key(index) for index in range(study.num_trials)}
        of_round.compact(study.name, ended, lambda: None, is_end=True)
    return store


def text_of(renderable) -> str:
    console = new_console()
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize(
    "show", [summary, lambda store: rounds_table(store.storage)], ids=["the summary", "the list of rounds"]
)
def test_what_the_terminal_shows_opens_as_many_files_for_many_trials_as_for_few(make_round, show):
    num_opened = []
    for num_trials in (3, 12):
        store = compacted(make_round(name=f"of-{num_trials}", trials_per_arm=num_trials, measured=False))
        counting = CountingStorage(store.storage.uri)
        text_of(show(RoundStore(counting, store.name)))
        num_opened.append(sum(n for file, n in counting.opened_files.items() if f"/{store.name}/" in file))
    assert num_opened[0] == num_opened[1] < 15


@pytest.mark.parametrize("objective", [None, Objective(metric="loss", over="last")])
def test_qr5_every_file_of_a_round_is_opened_once(mixed_round, objective):
    counting = CountingStorage(mixed_round.storage.uri)
    reading, curves = read_all(RoundStore(counting, mixed_round.name), objective=objective)
    opened = {file: number for file, number in counting.opened_files.items() if not file.endswith(".json")}
    assert len(opened) == 2 * 24
    assert set(opened.values()) == {1}
    assert read_curves(RoundStore(counting, mixed_round.name), reading) is curves
    assert reading.objective == (objective or Objective())


def test_curves_are_those_of_each_trial_s_measurements(mixed_round):
    reading = read_round(mixed_round)
    curves = read_curves(mixed_round, reading)
    assert list(curves) == [trial.id for trial in reading.trials]
    tables = read_measurements(mixed_round, reading.trials)
    for id_, found in curves.items():
        expected = curves_of(id_, tables[id_], max_step_points=MAX_STEP_POINTS)
        assert tables[id_].equals(mixed_round.measurements(*id_))
        assert found.evaluations.keys() == expected.evaluations.keys()
        assert found.steps.keys() == expected.steps.keys() == found.digests.keys()
        for one, other in [(found.evaluations, expected.evaluations), (found.steps, expected.steps)]:
            assert all(np.array_equal(one[name].steps, curve.steps) for name, curve in other.items())
            assert all(np.array_equal(one[name].values, curve.values) for name, curve in other.items())


def test_qr5_a_metric_that_no_trial_reports_is_one_sentence(mixed_round):
    with pytest.raises(SpecError, match="report error, loss and no 'eror'; did you mean 'error'"):
        read_round(mixed_round, objective=Objective(metric="eror"))


def halved(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


ARM = "batch_norm=sync"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (f"{ARM}/trials/00003.parquet", f", so trial 00003 of study {ARM} is missing here; "),
        (f"{ARM}/measurements/00003.parquet", f", so trial 00003 of study {ARM} has no curves here; "),
        (f"{ARM}/measurements/_00004.attempt1.arrows", None),
        ("status.json", "must hold a RoundStatus, but does not"),
        ("notes.md", None),
    ],
)
def test_records_that_were_cut_off_are_named_and_the_rest_is_shown(make_round, file, said):
    outcomes = {4: "running"}
    store = make_round(trials_per_arm=5, outcomes=lambda arm, index: outcomes.get(index, "completed"))
    halved(Path(store.uri, file))
    reading, curves = read_all(store)
    assert len(reading.trials) == 15 - ("trials" in file)
    assert len(curves) == 15 - (said is not None and file.endswith(".parquet"))
    page = Path(write_page(store)).read_text()
    if said is None:  # what a crash leaves behind is read as far as it goes
        assert reading.broken == ()
        return
    (sentence,) = reading.broken
    assert f"{store.name}/{file} in " in sentence
    assert said in sentence
    assert page.count(html.escape(sentence, quote=False).replace("'", "&#39;")) == 1
    if "measurements" not in file:
        assert sentence in " ".join(text_of(summary(store)).split())
        assert "partly unreadable" in text_of(rounds_table(store.storage))


@pytest.mark.parametrize("kind", ["trials", "measurements"])
def test_a_part_that_was_cut_off_is_named_and_the_other_studies_are_shown(make_round, kind):
    said = {"trials": "are missing", "measurements": "have no curves"}
    store = compacted(make_round(trials_per_arm=4))
    (part,) = Path(store.uri, ARM, kind).iterdir()
    halved(part)
    reading, curves = read_all(store)
    (sentence,) = reading.broken
    assert f", so trials 00000 to 00003 of study {ARM} {said[kind]} here; " in sentence
    assert len(reading.trials) == (8 if kind == "trials" else 12)
    assert {study for study, _ in curves} == {"batch_norm=device", "batch_norm=ghost"}
    assert sentence.replace("'", "&#39;") in Path(write_page(store)).read_text()


@pytest.mark.parametrize("file", ["round.json", f"{ARM}/study.json"])
def test_without_what_says_what_was_asked_there_is_one_sentence(make_round, file):
    store = make_round(trials_per_arm=2)
    halved(Path(store.uri, file))
    with pytest.raises(StorageError, match=f"{file} in .* must hold a .*, but does not"):
        write_page(store)


def as_older_versions_wrote(path: Path) -> None:
    """Leave out of a trial's row what only newer versions write."""
    table = pq.read_table(path)
    (row,) = table.to_pylist()
    newer = {"peak_memory_bytes", "evaluations_s", "stages", *TIME_COLUMNS}
    attempts = [
        {name: attempt[name] for name in ("number", "gang", "started_at", "ended")} for attempt in row["attempts"]
    ]
    machine = {name: value for name, value in row["machine"].items() if name not in ("hosts", "cores")}
    kept = {name: [value] for name, value in row.items() if name not in newer}
    pq.write_table(pa.table(kept | {"attempts": [attempts], "machine": [machine]}), path)


def test_rounds_of_older_versions_are_read_and_compacted(make_round):
    store = make_round(trials_per_arm=4, outcomes=lambda arm, index: "failed" if index == 1 else "completed")
    for path in Path(store.uri, ARM, "trials").iterdir():
        if path.stem != "00002":  # which a newer version has added
            as_older_versions_wrote(path)
    for record in (Path(store.uri, "round.json"), *Path(store.uri).glob("*/study.json")):
        content = json.loads(record.read_text())
        for name in ("examples", "input_pipeline", "configurations", "grid", "search"):
            content.pop(name, None)
        record.write_text(json.dumps(content))
    before = read_round(store)
    page = Path(write_page(store)).read_text()
    assert read_round(compacted(store)) == before
    assert len(store.storage.files(f"{store.name}/{ARM}/trials")) == 1
    assert Path(write_page(store)).read_text() == page
    known = {trial.key: trial.training is not None and trial.training.evaluations_s for trial in before.trials[4:8]}
    assert known == {"00000": None, "00001": None, "00002": 8.0, "00003": None}


def test_ln7_earlier_rounds_of_the_workload_are_found_in_the_order_of_their_creation(make_round, tmp_path):
    stores = {name: make_round(name=name) for name in ("third", "second", "first", "longer", "other", "later")}
    make_round(name="first-stability-sweep", part_of=STABILITY)  # a procedure has chosen nothing that a user chose

    def changed(name, **fields):
        file = tmp_path / name / "round.json"
        record = json.loads(file.read_text())
        whole = {part: record[part] | value if isinstance(value, dict) else value for part, value in fields.items()}
        file.write_text(json.dumps(record | whole))

    for day, name in enumerate(("second", "first", "longer", "other", "third", "later"), start=1):
        changed(name, created_at=f"2026-01-0{day}T00:00:00+00:00")
    changed("first-stability-sweep", created_at="2026-01-04T12:00:00+00:00")
    changed("longer", budget={"max_train_steps": 10**6})
    changed("other", workload={"name": "Another"})
    (tmp_path / "no round").mkdir()
    reading, curves = read_all(stores["third"])
    assert [round_.name for round_ in reading.earlier] == ["second", "first"]
    (found,) = [finding for finding in insight_of(reading, curves).findings if finding.rule == "LN7"]
    assert found.sentence.startswith("first trained the same")
