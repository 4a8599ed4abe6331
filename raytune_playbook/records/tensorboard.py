"""Export of a trial's measurements as TensorBoard events."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from tensorboardX import SummaryWriter

from raytune_playbook.records.columns import SPLIT, STEP, TRAIN_STEPS_SPLIT
from raytune_playbook.records.store import RoundStore


def export(store: RoundStore, study: str, key: str, measurements: pa.Table) -> None:
    """Write ``<study>/tensorboard/<trial>/`` with one scalar per split and metric.

    The event file is made in a temporary folder and copied as one object, so that any storage will do.
    """
    with tempfile.TemporaryDirectory() as folder:
        writer = SummaryWriter(logdir=folder, filename_suffix=f".{key}", flush_secs=3600)
        with _not_warned_of_nan():
            for row in measurements.to_pylist():
                step, split = row.pop(STEP), row.pop(SPLIT)
                prefix = "train_step" if split == TRAIN_STEPS_SPLIT else split
                for name, value in row.items():
                    if value is not None:
                        writer.add_scalar(f"{prefix}/{name}", value, step)
        writer.close()
        for file in Path(folder).iterdir():
            store.storage.write(f"{store.name}/{study}/tensorboard/{key}/{file.name}", file.read_bytes())


@contextlib.contextmanager
def _not_warned_of_nan() -> Iterator[None]:
    """tensorboardX prints a line for every number that is none; here the trial's reason says it."""
    logger = logging.getLogger("tensorboardX.x2num")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled
