"""A trial as TensorBoard shows it: its curves, and its hyperparameters with the objective (its HParams tab).

The hyperparameters lie beside the curves in one file, so that a trial is one run there, called after the file's folder.
TensorBoard itself gathers which hyperparameters there are, and of which types, from the trials that it is shown.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raytune_playbook.analysis.series.curves import Curve, thinned
from raytune_playbook.records.columns import SPLIT, STEP, TRAIN_STEPS_SPLIT
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Outcome, TrialRecord

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event

OBJECTIVE = "objective"
"""The tag of the one number that a trial is judged by, at its best step."""

MAX_POINTS = 1000
"""Of each curve at most so many points are written, its spikes among them: a file has about 60 kB for each at most.

As many as TensorBoard shows of one.
"""

VERSION = "brain.Event:2"
"""What a file begins with."""


def export(store: RoundStore, record: TrialRecord, measurements: pa.Table) -> None:
    """Write ``<study>/tensorboard/<trial>/`` with one event file, which takes the place of one that is there.

    It has a curve for each split and metric, thinned to `MAX_POINTS`, every hyperparameter but those that are None,
    which leaves its cell empty, and the objective of a trial that was completed.

    Args:
        record: of a trial that has ended.
    """
    # Imports boto3 and torch where those are installed, for which no round's start waits.
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import RecordWriter

    study, key = record.spec.study, record.spec.key
    values: dict[int, list[Summary.Value]] = {}
    for tag, curve in _curves(record, measurements):
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            values.setdefault(step, []).append(Summary.Value(tag=tag, simple_value=value))
    now_s = time.time()
    events = [Event(wall_time=now_s, file_version=VERSION), *_hyperparameters(record, now_s)]
    events += [Event(wall_time=now_s, step=step, summary=Summary(value=values[step])) for step in sorted(values)]
    with tempfile.TemporaryDirectory() as folder:  # made there and copied as a whole, so that any storage will do
        path = Path(folder) / f"events.out.tfevents.{key}"
        writer = RecordWriter(str(path))
        for event in events:
            writer.write(event.SerializeToString())
        writer.close()
        store.storage.write(f"{store.name}/{study}/tensorboard/{key}/{path.name}", path.read_bytes())


def _curves(record: TrialRecord, measurements: pa.Table) -> Iterator[tuple[str, Curve]]:
    """By tag; a metric that was not measured at a step has no point there."""
    if record.objective is not None and record.best_step is not None:
        yield OBJECTIVE, Curve(np.array([record.best_step]), np.array([record.objective]))
    for split in measurements[SPLIT].unique().to_pylist():
        rows = measurements.filter(pc.equal(measurements[SPLIT], split)).sort_by(STEP)
        prefix = "train_step" if split == TRAIN_STEPS_SPLIT else split
        for name in sorted(set(rows.column_names) - {STEP, SPLIT}):
            valid = rows.filter(pc.is_valid(rows[name]))
            if valid.num_rows:
                yield f"{prefix}/{name}", thinned(Curve(valid[STEP].to_numpy(), valid[name].to_numpy()), MAX_POINTS)


def _hyperparameters(record: TrialRecord, now_s: float) -> list[Event]:
    """What the HParams tab reads: the trial's values, and how it has ended."""
    from tensorboardX.proto.api_pb2 import Status
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
    from tensorboardX.summary import hparams

    # The first of the three says which columns there are, of this trial alone and for all, so it is left out.
    _, start, end = hparams(dict(record.spec.values), {})
    if record.outcome is not Outcome.COMPLETED:
        plugin = end.value[0].metadata.plugin_data
        data = HParamsPluginData.FromString(plugin.content)
        data.session_end_info.status = Status.Value("STATUS_FAILURE")
        plugin.content = data.SerializeToString()
    return [Event(wall_time=now_s, summary=summary) for summary in (start, end)]
