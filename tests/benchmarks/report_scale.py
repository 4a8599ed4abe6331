"""How a round's page grows with its trials: ``python -m tests.benchmarks.report_scale`` prints one JSON line.

Rounds of 100, 1,000 and 10,000 trials in two studies, each trial with 200 evaluations of two metrics on two splits and
400 training steps, are written compacted, as a driver leaves them; that is not timed. Then, each size in processes of
its own: ``rounds_s`` is the time of the round's row of `raytune-playbook rounds`, ``read_s`` of records to curves,
``findings_s`` from there to the answer and the next study, and ``whole_s`` of the page from its records. ``peak_mb`` is
the most memory of the process that wrote the page, imports (``imports_mb``) included, ``page_mb`` the file's size.
``exponent`` is the slope of log ``whole_s`` against log trials, from the first size to the last; the other one is that
of the last two sizes, where what is the same for all matters less.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from raytune_playbook.records.columns import TIME_COLUMNS, trials_table
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables.compacted_folder import CompactedFolder
from raytune_playbook.records.tables.measurement_compaction import PART_TRIALS
from raytune_playbook.records.tables.measurement_parts import PartWriter
from raytune_playbook.records.tables.row_compaction import rows_part
from raytune_playbook.records.types import (
    Attempt,
    Machine,
    Outcome,
    RoundRecord,
    RoundStatus,
    TimeByPart,
    Training,
    TrialRecord,
)
from raytune_playbook.report.insight import insight_of
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.reading import read_curves, read_round
from raytune_playbook.report.terminal import rounds_table
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from raytune_playbook.study.settings import Budget, Objective, Resources
from raytune_playbook.study.study import StudySpec, WorkloadSpec

SIZES = (100, 1_000, 10_000)
EVALUATIONS, STEPS_APART = 200, 2
STEPS = EVALUATIONS * STEPS_APART
WORKLOAD = WorkloadSpec(module="jobs.large", name="Large", settings={}, source_hash="5f3c")


def write_round(folder: str, num_trials: int) -> None:
    """Write the records of a finished round."""
    studies = [study_of(name, num_trials // 2) for name in ("relu", "gelu")]
    store = RoundStore(Storage(folder), "large")
    store.create(record_of(studies), studies, notes="", diff="")
    chunks = [
        (folder, study, number, range(begin, min(begin + PART_TRIALS, study.num_trials)))
        for study in studies
        for number, begin in enumerate(range(0, study.num_trials, PART_TRIALS), start=1)
    ]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        records = list(processes.map(_write_measurements, *zip(*chunks, strict=True)))
    for study in studies:
        own = [each for chunk in records for each in chunk if each.spec.study == study.name]
        rows = CompactedFolder(store.storage, f"{store.name}/{study.name}/trials", may_write=lambda: None)
        rows.write_part(1, [each.spec.key for each in own], rows_part(trials_table(own)))
    ended = {"num_done": num_trials, "num_trials": num_trials}
    store.write_status(RoundStatus(state="finished", driver="host:1", seen_at_s=time.time(), **ended))


def _write_measurements(folder: str, study: StudySpec, number: int, indices: range) -> list[TrialRecord]:
    """Write a part of trials; returns their records."""
    records, writer = [], None
    for index in indices:
        record, table = _trial(study, index)
        records.append(record)
        writer = writer or PartWriter(table.schema)
        writer.add(record.spec.key, table)
    if writer is not None:
        part = CompactedFolder(Storage(folder), f"large/{study.name}/measurements", may_write=lambda: None)
        part.write_part(number, writer.keys, writer.content())
    return records


def _trial(study: StudySpec, index: int) -> tuple[TrialRecord, pa.Table]:
    """A trial whose error has a valley over the learning rate, and noise; a rate that is too large diverges."""
    spec = suggest(study, index)
    rng = np.random.default_rng([index, len(study.name), study.arm["activation"] == "relu"])
    rate = float(str(spec.values["learning_rate"]))
    diverges = rate > 0.5
    num_evaluations = EVALUATIONS // 4 if diverges else EVALUATIONS
    at = np.arange(1, num_evaluations + 1) * STEPS_APART
    floor = 0.05 + 0.02 * (math.log10(rate) + 1.5) ** 2 + 0.05 * float(str(spec.values["dropout"]))
    error = floor + (0.9 - floor) * np.exp(-at / 60) + rng.normal(0, 0.002, num_evaluations)
    losses = 2.3 * np.exp(np.arange(1, at[-1] + 1) * (0.02 if diverges else -0.005)) + rng.normal(0, 0.05, at[-1])
    columns = {
        "loss": [losses, 1.8 * error, 2 * error],
        "error": [None, 0.8 * error, error],
        "gradient_norm": [np.abs(rng.normal(2, 0.5, at[-1])), None, None],
        "learning_rate": [np.full(at[-1], rate), None, None],
        **{name: [rng.random(at[-1]) / 100, None, None] for name in TIME_COLUMNS},
    }
    lengths = (int(at[-1]), len(at), len(at))
    parts = {
        name: pa.concat_arrays(
            [
                pa.nulls(num, pa.float64()) if part is None else pa.array(part)
                for num, part in zip(lengths, of, strict=True)
            ]
        )
        for name, of in columns.items()
    }
    splits = pa.array(["step"] * lengths[0] + ["train"] * lengths[1] + ["validation"] * lengths[2])
    table = pa.table({"step": np.concatenate([np.arange(1, at[-1] + 1), at, at]), "split": splits, **parts})
    order = table["step"].to_numpy().argsort(kind="stable")
    best = int(error.argmin())
    record = TrialRecord(
        spec=spec,
        outcome=Outcome.INFEASIBLE if diverges else Outcome.COMPLETED,
        reason="diverged: training loss 31.2 exceeds 2 x 2.30" if diverges else None,
        objective=None if diverges else float(error[best]),
        best_step=None if diverges else int(at[best]),
        training=Training(int(at[-1]), 272_474, 30.0 + index % 7, TimeByPart(0.4, 0.2, 2.0, 0.7, 16.0), 8.0),
        attempts=(Attempt(1, "gang-0", "2026-01-02T03:05:00+00:00", "completed", None, 0, "5f3c"),),
        machine=Machine("2.13.0", "AVX2", "cpu", 2, 1, ("a", "b"), (2, 2)),
    )
    return record, table.take(order)


def study_of(activation: str, num_trials: int) -> StudySpec:
    return StudySpec(
        name=f"activation={activation}",
        arm={"activation": activation},
        space={
            "learning_rate": Float(1e-4, 1.0, scale="log"),
            "momentum": Float(0.8, 0.999, scale="log_one_minus"),
            "dropout": Float(0.0, 0.5),
        },
        fixed={"depth": 20, "weight_decay": 1e-4},
        seed=7,
        num_trials=num_trials,
        objective=Objective(),
        max_train_steps=STEPS,
        evaluation_interval_steps=STEPS_APART,
        divergence_factor=2.0,
        workload=WORKLOAD,
        num_workers=2,
        threads_per_worker=1,
    )


def record_of(studies: list[StudySpec]) -> RoundRecord:
    num_trials = sum(study.num_trials for study in studies)
    return RoundRecord(
        name="large",
        goal="Which activation has the lowest error?",
        roles=dict.fromkeys(studies[0].space, "nuisance") | {"activation": "scientific", "depth": "fixed"},
        reasons={},
        caveats=["depth = 20"],
        warnings=[],
        objective=Objective(),
        budget=Budget(num_trials=num_trials, max_train_steps=STEPS, evaluation_interval_steps=STEPS_APART),
        resources=Resources(num_workers=2),
        seed=7,
        fingerprint="0123456789abcdef",
        workload=WORKLOAD,
        studies=[study.name for study in studies],
        job="jobs/large.py",
        command="raytune-playbook run jobs/large.py",
        commit="0f1e2d3c",
        uncommitted=False,
        versions={"torch": "2.13.0"},
        created_at="2026-01-02T03:04:05+00:00",
    )


def parts_of(folder: str) -> dict[str, float]:
    """Seconds of reading and of findings."""
    store = RoundStore(Storage(folder), "large")
    rounds_s = _seconds(lambda: rounds_table(store.storage))
    begin_s = time.perf_counter()
    reading = read_round(store)
    curves = read_curves(store, reading)
    read_s = time.perf_counter() - begin_s
    return {"rounds_s": rounds_s, "read_s": read_s, "findings_s": _seconds(lambda: insight_of(reading, curves))}


def whole_of(folder: str) -> dict[str, float]:
    """Seconds and memory of writing the page, and its size."""
    imports_mb = _peak_mb()
    store = RoundStore(Storage(folder), "large")
    whole_s = _seconds(lambda: write_page(store))
    page_mb = Path(folder, "large", "report", "index.html").stat().st_size / 1e6
    return {"whole_s": whole_s, "peak_mb": _peak_mb(), "imports_mb": imports_mb, "page_mb": page_mb}


def _seconds(action: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    action()
    return time.perf_counter() - begin_s


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def measured(num_trials: int) -> dict[str, float]:
    """All that is measured of a round of so many trials."""
    with tempfile.TemporaryDirectory() as folder:
        write_round(folder, num_trials)
        return measured_reading(folder)


def measured_reading(folder: str) -> dict[str, float]:
    """Of the round ``large`` in a folder."""
    found: dict[str, float] = {}
    for measure in (parts_of, whole_of):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            found |= process.submit(measure, folder).result()
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of trials, each larger")
    sizes = parser.parse_args().sizes
    rounds = {size: measured(size) for size in sizes}

    def exponent(first: int, last: int) -> float:
        grown = rounds[last]["whole_s"] / rounds[first]["whole_s"]
        return round(math.log(grown) / math.log(last / first), 3)

    line: dict[str, object] = {"trials": rounds}
    if len(sizes) > 1:
        line |= {"exponent": exponent(sizes[0], sizes[-1]), "exponent_of_the_last_two": exponent(sizes[-2], sizes[-1])}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
