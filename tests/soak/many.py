"""A thousand short trials in one round, and ten thousand on records alone: ``python -m tests.soak.many``.

The round trains trials of 0.05 s on two gangs of two workers. Printed are the memory that each kind of process gains
per 1,000 trials (a line through samples of the second half: caches fill in the first), and the time from one trial's
start to the next with what it gains per 1,000 trials (a line through all of them). The records are written by the
driver's own recorder, as events come, with what the driver looks at to show how the round stands; then they are read,
analysed and drawn.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy.stats import linregress

from raytune_playbook import Gangs, Resources, run
from raytune_playbook.engine.driver.driver import SHOW_EVERY_S
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName, Cause
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, NewMeasurements
from raytune_playbook.records.columns import MeasurementRow
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Machine, Outcome, RoundStatus, Training
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.study import StudySpec
from raytune_playbook.train.end import End
from tests.benchmarks.report_scale import measured_reading, record_of, study_of
from tests.benchmarks.trial_cost import round_of
from tests.conftest import running_cluster
from tests.soak.processes import sampled, unique_mb

TRIAL_S = 0.05
RESOURCES = Resources(num_workers=2, cpus_per_worker=0.25, num_gangs=2)
PER = 1000


def growth(at: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    """A line through values at numbers of trials: its height in the middle, and what it gains per `PER` trials, with
    the standard error."""
    line = linregress(at, values)
    middle = float(line.intercept + line.slope * np.mean(at))
    return {
        "mean": round(middle, 4),
        f"per_{PER}": round(PER * float(line.slope), 4),
        "error": round(PER * float(line.stderr), 4),
    }


# ---------------------------------------------------------------------- a round


def measured_round(num_trials: int) -> dict[str, Any]:
    """Run it on a cluster of its own."""
    round_ = round_of(num_trials, TRIAL_S, RESOURCES)
    with tempfile.TemporaryDirectory() as storage, running_cluster(3), Gangs(RESOURCES, keep_idle_s=600) as gangs:
        console = Console(file=io.StringIO())
        with sampled(Path(storage) / round_.name / "status.json", unique_mb, every_s=2.0) as samples:
            result = run(round_, storage=storage, gangs=gangs, console=console)
        rows = result.trials.to_pylist()
        starts = [gang.num_starts for gang in gangs.facts()]
    outcomes = [row["outcome"] for row in rows]
    late = [sample for sample in samples if sample.num_done >= num_trials / 2]
    roles = sorted(set.intersection(*(sample.roles for sample in late)))
    return {
        "trials": len(rows),
        "completed": outcomes.count("completed"),
        "attempts": sum(len(row["attempts"]) for row in rows),
        "gang_starts": starts,
        "memory_mb": {
            role: growth([each.num_done for each in late], [each.mean(role) for each in late]) for role in roles
        },
        "trial_s": growth(*between_starts(rows)),
    }


def between_starts(rows: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """The numbers of trials, and the seconds from each one's start to the next one's."""
    began = sorted(datetime.fromisoformat(row["attempts"][0]["started_at"]).timestamp() for row in rows)
    return [float(number) for number in range(1, len(began))], np.diff(began).tolist()


# ---------------------------------------------------------------------- records alone


def events_of(study: StudySpec, index: int, rows: Sequence[MeasurementRow]) -> Iterator[Any]:
    """What the pool tells the driver of a trial that is completed at once."""
    spec = suggest(study, index)
    name = AttemptName("round", (study.name, spec.key), 1)
    yield AttemptStarted(name, f"gang-{index % 2}")
    yield NewMeasurements(name, tuple(rows))
    end = End(Outcome.COMPLETED, Training(num_steps=40, num_parameters=1000, train_s=0.05))
    yield AttemptEnded(name, AttemptEnd(Cause.COMPLETED, end, machine=Machine("2.13", "AVX2", "cpu", 2, 1)), True)


def rows_of(index: int) -> list[MeasurementRow]:
    """40 steps, and ten evaluations of two splits."""
    rng = np.random.default_rng(index)
    floor = 0.05 + 0.1 * rng.random()
    rows: list[MeasurementRow] = []
    for step in range(1, 41):
        loss = floor + float(np.exp(-step / 10))
        rows.append({"step": step, "split": "step", "loss": loss, "gradient_norm": 1.0, "learning_rate": 0.1})
        if step % 4 == 0:
            rows += [
                {"step": step, "split": split, "loss": loss, "error": loss / 2} for split in ("train", "validation")
            ]
    return rows


def written(folder: str, num_trials: int) -> dict[str, Any]:
    """Write a round of so many trials as its driver does; seconds of each."""
    studies = [study_of(name, num_trials // 2) for name in ("relu", "gelu")]
    store = RoundStore(Storage(folder), "large")
    store.create(record_of(studies), studies, notes="", diff="")
    recorder = Recorder(store, studies)
    took_s, shown_s = [], 0.0
    for number in range(num_trials):
        rows = rows_of(number)
        began_s = time.perf_counter()
        for event in events_of(studies[number % 2], number // 2, rows):
            recorder.handle(event)
        recorder.compact(lambda: None)
        if began_s - shown_s > SHOW_EVERY_S:
            shown_s = began_s
            _shown(recorder)
        took_s.append(time.perf_counter() - began_s)
    recorder.compact(lambda: None, is_end=True)
    recorder.close()
    ended = {"num_done": num_trials, "num_trials": num_trials}
    store.write_status(RoundStatus(state="finished", driver="host:1", seen_at_s=time.time(), **ended))
    found = store.trials()["outcome"].to_pylist()
    assert found == ["completed"] * num_trials
    return {"write_s": round(sum(took_s), 1), "trial_s": growth(list(range(num_trials)), took_s)}


def _shown(recorder: Recorder) -> None:
    """What the driver looks at to show how the round stands."""
    _ = recorder.best, recorder.tally.num(), recorder.tally.num(Outcome.INFEASIBLE), recorder.tally.num(Outcome.FAILED)


def measured_records(num_trials: int) -> dict[str, Any]:
    """Write, read, analyse and draw."""
    with tempfile.TemporaryDirectory() as folder:
        found = written(folder, num_trials)
        return found | measured_reading(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="of the round; 0 for none")
    parser.add_argument("--records", type=int, default=10_000, help="trials on records alone; 0 for none")
    options = parser.parse_args()
    if options.records:
        sys.stdout.write(json.dumps({"records": options.records} | measured_records(options.records)) + "\n")
        sys.stdout.flush()
    if options.trials:
        sys.stdout.write(json.dumps(measured_round(options.trials)) + "\n")


if __name__ == "__main__":
    main()
